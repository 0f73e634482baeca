"""The one-call way from a description to states."""

import os
import warnings
from pathlib import Path

from . import checks
from .device import Device
from .errors import FileError


def run(source, output=None, *, set=None, threads=0, memory_limit=None, scratch=None, device="auto", progress=None):
    """Solves a device and returns its Result.

    source   the path of a device file (YAML), or a dict with the same keys
    output   a folder to write NAME.json, NAME.vtkhdf and NAME.png to, as the device's `output` asks; made if missing

    The other arguments are those of Device and Device.solve.
    """
    if output is not None:
        _check_writable(Path(os.fsdecode(checks.path("output", output))))
    described = Device(source, set=set, threads=threads, memory_limit=memory_limit, scratch=scratch, device=device)
    result = described.solve(progress=progress)
    if output is not None:
        try:
            result.save(output, plot=described.wants_plot)
        except ModuleNotFoundError as error:
            warnings.warn(f"no picture: {error}", stacklevel=2)
    return result


def _check_writable(folder):
    """Before the work, not after it. Makes nothing, so that a device refused leaves nothing behind."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise FileError(f"output: {existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise FileError(f"output: the folder {existing} cannot be written")
