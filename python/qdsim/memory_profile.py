"""The timeline of what the library holds while a block of Python runs."""

import math
import os
from pathlib import Path

import numpy as np

from . import checks
from ._core.profile import Profile as _Profile
from .device import shared_context
from .errors import ArgumentError, FileError


def memory_profile(path=None, *, interval_s=0.1):
    """A context manager that looks every `interval_s` seconds at what the library holds:

        with qdsim.memory_profile() as p:
            result = qdsim.run("lens_dot.yaml")
        print(p.peak["host"])
        p.plot("memory.png")

    It sees all of the library in this process, in all threads and on all devices: what solves, results and arrays hold.
    path        a file to write when the block ends, also when an exception ends it; see MemoryProfile.save
    interval_s  at most 3600. The history is bounded: after 4096 looks every second one goes, and the interval doubles
    """
    return MemoryProfile(path, interval_s)


class MemoryProfile:
    """What the library held over time; made by qdsim.memory_profile. All that it tells is there when the block has ended.

    time_s  array: seconds since the start, one number per look
    bytes   {place: {tag: array}}, one number per look. The places are "host", "pinned", "device", "unified", "files", as
            far as they were used, and "process": what the kernel counts as resident
    peak    {place: the most bytes that all its tags held in one look}. What came and went between two looks is not seen;
            qdsim.memory_stats has peaks that are exact
    """

    def __init__(self, path, interval_s):
        self._path = None if path is None else Path(os.fsdecode(checks.path("path", path)))
        self._interval_s = checks.real_number("interval_s", interval_s)
        self._core = None
        self._timeline = None

    def __enter__(self):
        if self._core is not None:
            raise ArgumentError("this memory profile was started before; make another with qdsim.memory_profile()")
        if self._path is not None:
            _check_writable(self._path)
        self._core = _Profile(shared_context("cpu"), self._interval_s)
        return self

    def __exit__(self, kind, error, trace):
        self._core.stop()
        self._timeline = _read(self._core)
        if self._path is None:
            return
        try:
            self.save(self._path)
        except FileError as failure:
            if error is None:
                raise
            error.add_note(f"the memory profile could not be written: {failure}")

    @property
    def time_s(self):
        return self._finished()[0]

    @property
    def bytes(self):
        return self._finished()[1]

    @property
    def peak(self):
        return {place: int(sum(tags.values()).max()) for place, tags in self.bytes.items()}

    def save(self, path):
        """Writes an HDF5 file, whole or not at all, and returns its path. As NAME.memory.h5 it can be drawn by
        `python -m qdsim.plot NAME.memory.h5`."""
        self._finished()
        written = checks.path("path", path)
        self._core.write(written)
        return Path(os.fsdecode(written))

    def plot(self, path=None):
        """Draws the timeline; returns the matplotlib Figure, or writes it to `path` (.png, .pdf or .svg) and returns the
        path."""
        from . import plot

        return plot.plot(self, path)

    def _finished(self):
        if self._timeline is None:
            raise ArgumentError(f"the memory profile {'still runs' if self._core else 'was not started'}; it tells what it "
                                "saw after `with qdsim.memory_profile() as p:`")
        return self._timeline

    def __repr__(self):
        if self._timeline is None:
            return f"<qdsim.MemoryProfile: {'running' if self._core else 'not started'}>"
        peaks = ", ".join(f"{place} {_text(most)}" for place, most in self.peak.items() if most)
        return f"<qdsim.MemoryProfile: {len(self.time_s)} looks in {self.time_s[-1]:.3g} s, at most {peaks}>"


def _read(core):
    seconds, series = core.samples()
    places = {}
    for name, values in series:
        place, tag = name.split("/", 1)
        places.setdefault(place, {})[tag] = np.frombuffer(values)
    return np.frombuffer(seconds), places


def _check_writable(path):
    """Before the work, not after it."""
    folder = path.absolute().parent
    if path.is_dir():
        raise FileError(f"path: {path} is a folder")
    if not folder.is_dir():
        raise FileError(f"path: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"path: the folder {folder} cannot be written")


def _text(count):
    """Bytes for people."""
    power = min(int(math.log2(max(count, 1))) // 10, 4)
    return f"{count / 1024**power:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
