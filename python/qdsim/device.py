"""Devices: described by a file or a dict, checked, and ready to be solved."""

import json
import math
import operator
import os
import re
import threading
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from . import checks
from ._core.context import Context, parse_bytes
from ._core.device import Device as _Device
from .errors import ArgumentError, InputError
from .progress import reporting
from .result import Result


_shared = {}
_lock = threading.Lock()


class Cost(NamedTuple):
    """What solving a device takes: the grid, and the estimated peak memory and time on this machine."""

    dimension: int
    order: int
    states: int
    nodes: tuple
    unknowns: int
    memory_bytes: int
    seconds: float


class Device:
    """A quantum-dot device.

    source        the path of a device file (YAML), or a dict with the same keys
    set           changes to it: ["grid.x.nodes=201", ...] or {"grid.x.nodes": 201, ...}
    threads       0: all cores this process may use
    memory_limit  bytes, or text such as "2GiB", to hold in memory; the rest goes to files; None: no limit of its own
    scratch       the folder for these files, on a disk; None: TMPDIR, or /var/tmp; "": none, what passes the limit is
                  refused
    device        what computes: "auto" (a GPU, else the CPU), "cpu", "cuda", "cuda:N", "sim" or "sim:N"

    Raises InputError with file, line, key and what is allowed when the description is wrong.
    """

    def __init__(self, source, *, set=None, threads=0, memory_limit=None, scratch=None, device="auto"):
        context = new_context(threads, memory_limit, device, scratch)
        assignments = _assignments(set)
        if isinstance(source, Mapping):
            text = json.dumps(plain(source, ""), ensure_ascii=False)
            self._core = _Device.parse(context, _file_name(source), text, assignments)
        else:
            self._core = _Device.read(context, checks.path("source", source), assignments)

    @property
    def name(self):
        return self._core.name

    @property
    def configuration(self):
        """The effective configuration, every default filled in, as YAML."""
        return self._core.configuration

    @property
    def wants_plot(self):
        """Whether the description asks for a picture (output.plot, default true)."""
        return self._core.wants_plot

    @property
    def runs_on(self):
        """What computes: "cpu", "cuda:0" or "sim:0"."""
        return self._core.context.device

    @property
    def cost(self):
        """A Cost: unknowns, and the estimated memory and time."""
        return Cost(**self._core.estimate())

    def solve(self, *, progress=None):
        """Solves for the lowest states and returns a Result.

        progress: a function called with (phase, fraction, detail), which may stop the work by raising; True for a
        progress bar (tqdm), False for none, None for a bar when tqdm is installed and stderr is a terminal.
        Other Python threads run meanwhile. Ctrl-C stops it. Raises ConvergenceError rather than return states that
        are not converged.
        """
        with reporting(progress) as report:
            return Result(self._core.solve(report), self._core.name)

    def __repr__(self):
        cost = self.cost
        nodes = " x ".join(str(n) for n in cost.nodes)
        return (f'<qdsim.Device "{self.name}": {cost.dimension}D, {nodes} nodes, order {cost.order}, '
                f"{cost.unknowns} unknowns, {cost.states} states>")


def new_context(threads, memory_limit, device, scratch=None):
    return Context(threads=checks.whole_number("threads", threads),
                   memory_limit=0 if memory_limit is None else byte_count(memory_limit),
                   device=checks.device_name(device), scratch=None if scratch is None else checks.path("scratch", scratch))


def shared_context(device):
    """The context of all arrays of a device, made when it is first wanted."""
    checks.device_name(device)
    with _lock:
        if device not in _shared:
            context = new_context(0, None, device)
            _shared[device] = _shared.setdefault(context.device, context)
        return _shared[device]


def byte_count(value):
    """Bytes from a number or from text such as "2GiB"."""
    try:
        count = parse_bytes(value) if isinstance(value, str) else operator.index(value)
    except TypeError:
        count = None
    if count is None or not 0 < count < 2**63:
        raise ArgumentError(f"memory_limit: {value!r} is no amount of memory; write bytes, or text such as '2GiB' or "
                            "'500 MB' (None: no limit)")
    return count


def plain(value, where):
    """The value as JSON knows it: NumPy's numbers and arrays, paths and tuples become numbers, lists and text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each, f"{where}.{key}" if where else str(key)) for key, each in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(each, f"{where}[{i}]") for i, each in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: {value} is not a finite number")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise InputError(f"{where}: a {type(value).__name__} cannot be part of a device; "
                     "numbers, text, lists and dicts can")


def _file_name(description):
    """What messages call a dict, and its result files are named after."""
    return re.sub(r"[^\w+-]+", "_", str(description.get("name", ""))).strip("_") or "device"


def _assignments(changes):
    if changes is None:
        return None
    if isinstance(changes, str):
        changes = [changes]
    if isinstance(changes, Mapping):
        changes = [f"{key}={json.dumps(plain(value, str(key)), ensure_ascii=False)}" for key, value in changes.items()]
    if not isinstance(changes, (list, tuple)):
        raise ArgumentError(f"set: {changes!r}; a dict, a text, or a list of texts such as 'grid.x.nodes=201' is allowed")
    for change in changes:
        if not isinstance(change, str) or "=" not in change:
            raise ArgumentError(f"set: {change!r} is no assignment; write 'grid.x.nodes=201'")
    return list(changes)
