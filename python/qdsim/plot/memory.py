"""The timeline of a run's memory: what each place held, stacked by tag."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from ..errors import FileError
from . import style

_MOST_TAGS = 7  # drawn apart in a panel; the rest is one area
_LONGEST_LABEL = 40
_PLACES = {"host": "host memory", "pinned": "page-locked memory", "device": "device memory", "unified": "unified memory",
           "files": "files"}
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


class Timeline(NamedTuple):
    title: str
    time_s: np.ndarray
    places: dict  # {place: {tag: bytes}}


def from_profile(profile):
    return Timeline("memory over time", profile.time_s, profile.bytes)


def from_file(path):
    """The timeline in NAME.memory.h5 or NAME.vtkhdf."""
    import h5py

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            if "memory_profile" in file:
                return _from_group(file["memory_profile"], path.stem.removesuffix(".memory"))
    except (OSError, KeyError, RuntimeError, TypeError, AttributeError, ValueError) as error:  # a damaged file has many kinds
        raise FileError(f"{path}: no memory profile: {error}") from error
    raise FileError(f"{path}: no memory profile{_instead(path)}")


def _from_group(group, name):
    time_s = np.asarray(group["time_s"][:], float)
    places = {place: {_tag(link): np.asarray(values[:], float) for link, values in group[place].items()}
              for place in group if place != "time_s"}
    for values in (time_s, places["process"]["resident"], *(each for tags in places.values() for each in tags.values())):
        if values.shape != (len(time_s),) or not np.isfinite(values).all():
            raise ValueError("its series are not as many finite numbers as its times")
    return Timeline(f"{name}: memory over time", time_s, places)


def _instead(path):
    """What a file of fields, which holds a profile only when one was asked for, is good for without."""
    if path.suffix != ".vtkhdf":
        return ""
    return (": it was written without --memory-profile; its fields are for ParaView, and the picture of the states is drawn from "
            f"{path.with_suffix('.json').name}")


def _tag(link):
    """The tag that a dataset is called by: qds_memory_profile_write says how."""
    return "" if link == "%" else unquote(link)


def draw(timeline, figure):
    """One panel per place that held anything; the line is the whole process as the kernel counts it."""
    title, time_s, places = timeline
    shown = [place for place in _PLACES if any(values.any() for values in places.get(place, {}).values())]
    with style.applied():
        figure.set_size_inches(7.2, 0.9 + 2.3 * max(len(shown), 1))
        axes = np.atleast_1d(figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=True))
        figure.suptitle(style.plain(title), x=0.02, ha="left", weight="bold", size=12)
        for axis, place in zip(axes, shown):
            _draw_place(axis, time_s, places[place], _PLACES[place],
                        places["process"]["resident"] if place == "host" else None)
        axes[-1].set_xlabel("time in s")
        figure.tight_layout(rect=(0, 0, 1, 0.97))
    return figure


def _draw_place(axis, time_s, tags, title, resident):
    order = sorted((tag for tag in tags if tags[tag].any()), key=lambda tag: -tags[tag].max())
    labels, layers = [_label(tag) for tag in order[:_MOST_TAGS]], [tags[tag] for tag in order[:_MOST_TAGS]]
    if order[_MOST_TAGS:]:
        labels.append(f"{len(order) - _MOST_TAGS} others")
        layers.append(sum(tags[tag] for tag in order[_MOST_TAGS:]))
    top = max(sum(layers).max(), 0 if resident is None else resident.max())
    factor, unit = next((u for u in _UNITS if top >= u[0]), (1, "B"))
    axis.stackplot(time_s, [values / factor for values in layers], labels=labels,
                   colors=[style.colour(i) for i in range(len(layers))], alpha=0.85, linewidth=0)
    if resident is not None:
        axis.plot(time_s, resident / factor, color=style.INK, linewidth=1, label="process (resident)")
    axis.set_ylabel(f"{title} in {unit}")
    axis.set_ylim(0, 1.08 * top / factor)
    axis.set_xlim(time_s[0], max(time_s[-1], time_s[0] + 1e-9))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _label(tag):
    """A tag as a legend shows it: short, and with no underscore at the front, which would hide it."""
    text = tag or "(no tag)"
    text = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "\u2026"
    return (" " if text.startswith("_") else "") + style.plain(text)
