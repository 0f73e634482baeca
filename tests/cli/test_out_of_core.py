"""Solves whose vectors pass the memory limit: the same energies, the overflow in files, nothing left of them."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

from command import COMMAND, ROOT

HEAD = """\
dimension: {dimension}
materials:
  well: {{mass: 0.067, band_edge_eV: 0.0}}
  barrier: {{mass: 0.1, band_edge_eV: 0.3}}
background: barrier
states: 6
output: {{plot: false, fields: [psi]}}
"""


def example(name, old, new):
    text = (ROOT / "examples" / name).read_text()
    assert old in text
    return text.replace(old, new)


DEVICES = {
    "self-consistent": example("self_consistent_well.yaml", "nodes: 161", "nodes: 16001"),
    "open": example("double_barrier.yaml", "nodes: 641", "nodes: 8001"),
    "1D": HEAD.format(dimension=1) + """\
regions: [{shape: layer, axis: x, from_nm: -10, to_nm: 10, material: well}]
grid: {x: {from_nm: -50, to_nm: 50, nodes: 40001}}
""",
    "2D": HEAD.format(dimension=2) + """\
regions: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [9, 7], material: well}]
grid: {x: {from_nm: -20, to_nm: 20, nodes: 301}, y: {from_nm: -20, to_nm: 20, nodes: 301}}
""",
    "2D in a magnetic field": HEAD.format(dimension=2) + """\
regions: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [9, 7], material: well}]
grid: {x: {from_nm: -20, to_nm: 20, nodes: 141}, y: {from_nm: -20, to_nm: 20, nodes: 141}}
magnetic_field: {tesla: [0, 0, 5], gauge: symmetric}
""",
    "2D with fast diagonalisation": HEAD.format(dimension=2) + """\
regions: [{shape: ellipsoid, center_nm: [0, 0], radii_nm: [9, 7], material: well}]
grid: {x: {from_nm: -20, to_nm: 20, nodes: 251}, y: {from_nm: -20, to_nm: 20, nodes: 251}}
solver: {preconditioner: fast_diagonalisation}
""",
    "3D": HEAD.format(dimension=3) + """\
regions: [{shape: ellipsoid, center_nm: [0, 0, 0], radii_nm: [9, 7, 5], material: well}]
grid:
  x: {from_nm: -20, to_nm: 20, nodes: 41}
  y: {from_nm: -20, to_nm: 20, nodes: 41}
  z: {from_nm: -20, to_nm: 20, nodes: 41}
""",
}


@pytest.fixture
def scratch():
    """A folder on a disk, which the folder of the tests may not be; empty at the end."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="qdsim-test-") as folder:
        yield folder
        assert os.listdir(folder) == []


@pytest.mark.parametrize("name", DEVICES)
def test_same_result_as_in_memory(qdsim, device, tmp_path, scratch, name):
    path = device(DEVICES[name])
    inside = qdsim("run", path, "--json", "--no-plot", "-o", "inside", "--threads", 1)
    inside.assert_status(0)
    outside = qdsim("run", path, "--json", "--no-plot", "-o", "outside", "--threads", 1, "--memory-limit", "16MiB",
                    "--scratch", scratch)
    outside.assert_status(0)
    inside, outside = json.loads(inside.stdout), json.loads(outside.stdout)
    assert inside["states"] == outside["states"]  # to the last bit
    memory = outside["statistics"]["memory"]
    assert memory["peak_bytes"] <= 16 << 20
    assert memory["files"]["folder"] == scratch
    assert memory["files"]["peak_bytes"] > 0 and memory["files"]["blocks"] > 0
    assert memory["peak_bytes"] + memory["files"]["peak_bytes"] >= 0.9 * inside["statistics"]["memory"]["peak_bytes"]
    assert inside["statistics"]["memory"]["files"] == {
        "folder": None, "peak_bytes": 0, "blocks": 0, "peak_mapped_bytes": 0}
    fields = [(tmp_path / folder / "device.vtkhdf").read_bytes() for folder in ("inside", "outside")]
    assert fields[0] == fields[1]


def test_solve_that_needs_more_than_was_estimated(qdsim, device, scratch):
    """The electrons fill many more states than are asked for: what was to fit into memory overflows in the middle."""
    path = device("""\
dimension: 2
materials: {m: {mass: 0.8, band_edge_eV: 0.0, permittivity: 4.0}}
background: m
doping: [{donors_cm3: 1.4e15}]
grid:
  x: {from_nm: 0, to_nm: 16, nodes: 60}
  y: {from_nm: -7, to_nm: 7, nodes: 15}
  boundary: {x: [dirichlet, neumann], y: [dirichlet, neumann]}
electrostatics: {contacts: [{face: x-, potential_V: 0.26}, {face: y-, potential_V: -0.1}]}
self_consistent: {electrons: neutral, tolerance_V: 1.0e-2}
temperature_K: 150
states: 4
output: {plot: false}
""")
    inside = qdsim("run", path, "--json", "--threads", 1)
    inside.assert_status(0)
    outside = qdsim("run", path, "--json", "--threads", 1, "--memory-limit", "8MiB", "--scratch", scratch)
    outside.assert_status(0)
    inside, outside = json.loads(inside.stdout), json.loads(outside.stdout)
    assert inside["states"] == outside["states"]
    memory = outside["statistics"]["memory"]
    assert memory["peak_bytes"] <= 8 << 20 < inside["statistics"]["memory"]["peak_bytes"]
    assert memory["files"]["blocks"] > 0


def test_table_says_what_is_in_files(qdsim, device, scratch):
    path = device(DEVICES["2D"])
    outcome = qdsim("run", path, "--memory-limit", "16MiB", "--scratch", scratch)
    outcome.assert_status(0)
    assert f"MiB in files in {scratch}" in outcome.stdout
    outcome = qdsim("run", path, "--memory-limit", "1GiB", "--scratch", scratch)
    outcome.assert_status(0)
    assert "in files" not in outcome.stdout
    outcome = qdsim("check", path, "--memory-limit", "16MiB", "--scratch", scratch)
    outcome.assert_status(0)
    assert f"MiB in files in {scratch}" in outcome.stdout


def test_scratch_is_tmpdir_unless_named(qdsim, device, scratch):
    outcome = qdsim("run", device(DEVICES["2D"]), "--json", "--memory-limit", "16MiB", environment={"TMPDIR": scratch})
    outcome.assert_status(0)
    assert json.loads(outcome.stdout)["statistics"]["memory"]["files"]["folder"] == scratch


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    "options, fragments",
    [
        (["--memory-limit", "16MiB", "--scratch", "nowhere"], ['"nowhere"', "No such file", "name another scratch folder"]),
        (["--memory-limit", "16MiB", "--scratch", "device.yaml"], ['"device.yaml"', "no folder"]),
        (["--memory-limit", "16MiB", "--scratch", ""], ["the solve needs", "the limit is 16 MiB"]),
        (["--memory-limit", "4MiB"], ["the limit is 4 MiB", "from a limit of 16 MiB", "raise the memory limit"]),
    ],
    ids=["missing", "file", "none", "small"],
)
def test_overflow_without_a_place(qdsim, device, command, options, fragments):
    outcome = qdsim(command, device(DEVICES["2D"]), *options)
    outcome.assert_refused(5, "memory budget exceeded", *fragments)


def on_tmpfs(folder):
    with open("/proc/mounts") as mounts:
        return any(line.split()[1:3] == [folder, "tmpfs"] for line in mounts)


@pytest.mark.skipif(not on_tmpfs("/dev/shm"), reason="/dev/shm is no file system in memory")
def test_files_in_memory_are_no_place(qdsim, device):
    outcome = qdsim("run", device(DEVICES["2D"]), "--memory-limit", "16MiB", "--scratch", "/dev/shm")
    outcome.assert_refused(5, "/dev/shm", "lies in memory")


def test_more_than_the_disk_has(qdsim, device, scratch):
    outcome = qdsim("run", device(DEVICES["3D"]), "--memory-limit", "16MiB", "--scratch", scratch,
                    *(word for axis in "xyz" for word in ("--set", f"grid.{axis}.nodes=20001")))
    outcome.assert_refused(5, scratch, "free")


def has_file_in(folder, pid):
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(link).startswith(folder):
                return True
        except FileNotFoundError:  # closed meanwhile
            pass
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_nothing_stays_of_a_run_that_ends_early(device, tmp_path, scratch, number):
    """The files have no names while the run goes on, so that none is left whatever ends it."""
    path = device(DEVICES["3D"] + "tolerance_eV: 1.0e-30\n")
    with subprocess.Popen([COMMAND, "run", path, "--memory-limit", "16MiB", "--scratch", scratch], cwd=tmp_path,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not has_file_in(scratch, process.pid):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        assert os.listdir(scratch) == []
        process.send_signal(number)
        assert process.wait(60) in (130, -number)
