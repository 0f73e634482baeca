"""Pictures of results: levels in the well in 1D, densities in 2D, iso-surfaces and slices in 3D.

Needs matplotlib, scikit-image for 3D, and h5py to draw from files; they are loaded when first needed.
"""

import os
from pathlib import Path

from ..errors import ArgumentError, FileError
from ..memory_profile import MemoryProfile
from ..result import Result
from .picture import from_files, from_result

_SUFFIXES = (".png", ".pdf", ".svg")
_OF_PROFILES = (".h5", ".vtkhdf")


def plot(result, path=None, **options):
    """Draws a Result, or the files of one given by the path of its JSON file; or the timeline of a MemoryProfile, or of a
    file that holds one, given by the path of NAME.memory.h5 or NAME.vtkhdf.

    path None: returns a matplotlib Figure, on the screen where there is one. Else writes it, whole or not at all, as
    .png, .pdf or .svg, and returns the path. Options of a result: those of draw; a timeline has none (None is not given).
    """
    from_disk = isinstance(result, (str, os.PathLike))
    if isinstance(result, MemoryProfile) or (from_disk and Path(result).suffix in _OF_PROFILES):
        from . import memory

        given = [name for name, value in options.items() if value is not None]
        if given:
            raise ArgumentError(f"a memory profile is drawn without options; it has no {', '.join(given)}")
        picture, fill, options = (memory.from_file if from_disk else memory.from_profile)(result), memory.draw, {}
    elif from_disk or isinstance(result, Result):
        picture, fill = (from_files if from_disk else from_result)(result), draw
    else:
        raise ArgumentError(f"a {type(result).__name__} cannot be drawn; a Result, a MemoryProfile, or the path of a file of one "
                            "can")
    if path is None:
        from matplotlib import pyplot

        return fill(picture, pyplot.figure(), **options)
    from matplotlib.figure import Figure

    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise ArgumentError(f"{path}: a picture's name ends in {', '.join(_SUFFIXES)}")
    return _write(fill(picture, Figure(), **options), path)


def draw(picture, figure, *, states=None):
    """Draws into an empty matplotlib Figure. states: how many (None: what can be told apart, at most 12)."""
    from . import levels, planes, solids, style

    count = len(picture.energies_eV)
    if states is not None and not 1 <= states <= count:
        raise ArgumentError(f"states: {states}; this result has {count}")
    with style.applied():
        if picture.fields is None:
            levels.draw_diagram(picture, figure, states or count)
        elif picture.dimension == 1:
            levels.draw_well(picture, figure, states or min(count, 12))
        elif picture.dimension == 2:
            planes.draw(picture, figure, states or min(count, 12))
        else:
            solids.draw(picture, figure, states or min(count, 6))
    return figure


def _write(figure, path):
    """Beside, then renamed: a reader never sees half a picture."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        figure.savefig(beside, format=path.suffix[1:], dpi=160)
        os.replace(beside, path)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return path
