"""Arguments of the wrong kind: refused by name, never rounded or taken for something else."""

import numpy as np
import pytest

import qdsim
from qdsim._core.context import Context

FLAT = np.zeros(30)

WRONG = {
    "threads: 2.5 is no integer": lambda well: qdsim.Device(well, threads=2.5),
    "threads: '4' is no integer": lambda well: qdsim.run(well, threads="4"),
    "threads: 1099511627776 passes the range": lambda well: qdsim.run(well, threads=2**40),
    "memory_limit: 2.5 is no amount": lambda well: qdsim.run(well, memory_limit=2.5),
    "scratch: 5 is no path": lambda well: qdsim.run(well, scratch=5),
    "scratch: '/var/tmp\\x00/x' contains a NUL": lambda well: qdsim.run(well, memory_limit="16MiB", scratch="/var/tmp\0/x"),
    "output: 'out\\x00' contains a NUL": lambda well: qdsim.run(well, output="out\0"),
    "path: 'p\\x00.h5' contains a NUL": lambda well: qdsim.memory_profile("p\0.h5"),
    "b'/var/tmp\\x00/x' contains a NUL": lambda well: Context(scratch=b"/var/tmp\0/x"),
    "source: '\\ud800' is no path": lambda well: qdsim.run("\ud800"),
    "source: None is no path": lambda well: qdsim.run(None),
    "output: 5 is no path": lambda well: qdsim.run(well, output=5),
    "set: 5; a dict, a text": lambda well: qdsim.run(well, set=5),
    "states: 2.5 is no integer": lambda well: qdsim.eigenstates(FLAT, spacing_nm=1, states=2.5),
    "order: '1' is no integer": lambda well: qdsim.eigenstates(FLAT, spacing_nm=1, order="1"),
    "tolerance_eV: 'x' is no real number": lambda well: qdsim.eigenstates(FLAT, spacing_nm=1, tolerance_eV="x"),
    "boundary: 5; one word": lambda well: qdsim.eigenstates(FLAT, spacing_nm=1, boundary=5),
    "boundary of x: 5; give one word": lambda well: qdsim.eigenstates(FLAT, spacing_nm=1, boundary=[5]),
    "coordinates: 5; give one array": lambda well: qdsim.eigenstates(FLAT, coordinates=5),
    "coordinates: 0 arrays for 1 axes": lambda well: qdsim.eigenstates(FLAT, coordinates=()),
    "name: 5 is no text": lambda well: qdsim.material(5),
    "temperature_K: 'x' is no real number": lambda well: qdsim.material("GaAs", temperature_K="x"),
    "x: 'a' is no real number": lambda well: qdsim.material("InGaAs", "a"),
    "tag: 5 is no text": lambda well: qdsim.empty(3, tag=5),
    "tag: None is no text": lambda well: qdsim.zeros(3, tag=None),
    "'a\\udcff' contains '\\udcff', which is no character": lambda well: qdsim.zeros(3, tag="a\udcff"),
    "', which is no character": lambda well: qdsim.run(well | {"name": "a\udcff"}),
    "device: ['cpu']": lambda well: qdsim.empty(3, device=["cpu"]),
    "device: 3": lambda well: qdsim.DevicePool(3),
    "copy: 'yes'": lambda well: qdsim.asarray(FLAT, copy="yes"),
    "list object that cannot be copied": lambda well: qdsim.asarray([[1], [1, 2]]),
    "int objects have no __dlpack__": lambda well: qdsim.from_dlpack(5),
    "max_version: 1;": lambda well: qdsim.zeros(3, device="cpu").__dlpack__(max_version=1),
    "dl_device: 3 is no pair": lambda well: qdsim.zeros(3, device="cpu").__dlpack__(dl_device=3),
}


@pytest.mark.parametrize("text", WRONG)
def test_the_message_names_the_argument(well, text):
    with pytest.raises(qdsim.ArgumentError) as raised:
        WRONG[text](well)
    assert text in str(raised.value)


def test_cupy_needs_a_gpu():
    with pytest.raises(qdsim.UnsupportedError, match="can be used on cpu, and CuPy works on NVIDIA GPUs"):
        qdsim.zeros(3, device="cpu").cupy()


def test_a_capsule_is_used_once():
    capsule = qdsim.zeros(3, device="cpu").__dlpack__()
    qdsim.from_dlpack(capsule)
    with pytest.raises(qdsim.ArgumentError, match="used before"):
        qdsim.from_dlpack(capsule)


def test_every_way_in_names_the_line_of_python():
    """The line of the caller, however deep the package goes for it."""
    x = np.arange(3.0)
    here = test_every_way_in_names_the_line_of_python.__code__.co_firstlineno
    made = [qdsim.empty(3, tag="lines", device="cpu"),
            qdsim.zeros(3, tag="lines", device="cpu"),
            qdsim.asarray([1.0, 2.0], tag="lines", device="cpu"),
            qdsim.from_dlpack(x, device="cpu"),
            qdsim.asarray(x, device="cpu"),
            *map(lambda n: qdsim.empty(n, tag="lines", device="cpu"), [1])]
    rows = [row["source"] for row in qdsim.memory_stats("cpu")["arrays"] if row["tag"] in ("lines", "borrowed")
            and row["source"].startswith(f"{__file__}:")]
    assert sorted(int(row.rsplit(":", 1)[1]) - here for row in rows) == [4, 5, 6, 7, 8, 9]
    assert [each.source for each in made[:3]] == [f"{__file__}:{here + line}" for line in (4, 5, 6)]
