"""Choosing what computes: --device, and what qdsim info says of each candidate."""

import json
import os

import pytest

from command import GOOD, ROOT

# No plugin is found here, so auto takes the CPU on every machine.
NO_PLUGINS = {"QDSIM_PLUGIN_DIR": "/nonexistent"}


# Of GOOD: too many unknowns to be diagonalised as a whole.
LARGE = ["--set", "grid.x.nodes=481"]


@pytest.fixture
def path(device):
    """A device file."""
    return device()


@pytest.mark.parametrize(
    "name, fragments",
    [
        ("cup", ['"cup"', 'did you mean "cpu"?', "allowed are auto, cpu, cuda, cuda:N (the N-th GPU, from 0), sim and sim:N"]),
        ("gpu", ['"gpu"', "allowed are auto, cpu, cuda, cuda:N"]),
        ("", ['no device ""']),
        ("cuda:first", ['"cuda:first"', "cuda:N"]),
        ("cpu:0", ['"cpu:0"']),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_unknown_device(qdsim, path, command, name, fragments):
    qdsim(command, path, "--device", name).assert_refused(2, *fragments)


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "sim"])
def test_missing_device_is_an_error(qdsim, path, name):
    outcome = qdsim("run", path, "--device", name, environment=NO_PLUGINS)
    outcome.assert_refused(2, f'no device "{name.split(":")[0]}"', "QDSIM_PLUGIN_DIR=/nonexistent")


def test_number_of_a_device_that_is_not_there(qdsim, path):
    qdsim("run", path, "--device", "sim:7").assert_refused(2, '"sim:7"', "this machine has 1, numbered from 0")


def test_device_by_number(qdsim, path):
    outcome = qdsim("run", path, "--device", "sim:2", *LARGE, environment={"QDSIM_SIM_DEVICES": "3"})
    outcome.assert_status(0)
    assert "\ndevice sim:2\n" in outcome.stdout


@pytest.mark.parametrize("command", ["run", "check", "info"])
def test_help_names_every_form(qdsim, command):
    line = next(line for line in qdsim(command, "--help").stdout.splitlines() if "--device" in line)
    assert line.endswith("auto (default: a GPU, else the CPU), cpu, cuda, cuda:N, sim or sim:N")


def test_auto_says_why_it_took_the_cpu(qdsim, path):
    outcome = qdsim("run", path, environment=NO_PLUGINS)
    outcome.assert_status(0)
    assert "\ndevice cpu: " in outcome.stdout and "no qdsim_cuda.so in QDSIM_PLUGIN_DIR=/nonexistent" in outcome.stdout
    result = json.loads(qdsim("run", path, "--json", "--device=auto", environment=NO_PLUGINS).stdout)
    assert result["device"] == "cpu" and "/nonexistent" in result["device_reason"]


def test_cpu_needs_no_reason(qdsim, path):
    outcome = qdsim("run", path, "--device", "cpu")
    outcome.assert_status(0)
    assert "\ndevice cpu\n" in outcome.stdout
    result = json.loads(qdsim("run", path, "--json", "--device", "cpu").stdout)
    assert result["device"] == "cpu" and result["device_reason"] is None


def test_plugins_are_not_taken_from_the_current_directory(qdsim, path, tmp_path):
    (tmp_path / "qdsim_cuda.so").write_text("no library")
    (tmp_path / "qdsim").mkdir()
    (tmp_path / "qdsim/qdsim_cuda.so").write_text("no library")
    outcome = qdsim("run", path, "--device", "cuda", environment={"QDSIM_PLUGIN_DIR": "."})
    outcome.assert_status(2)
    assert "QDSIM_PLUGIN_DIR=. is no absolute path" in outcome.stderr


def devices(qdsim, *arguments, environment=None):
    outcome = qdsim("info", "--json", "--threads", "1", *arguments, environment=environment)
    outcome.assert_status(0)
    return {each["name"]: each for each in json.loads(outcome.stdout)["devices"]}


def test_info_lists_every_candidate(qdsim):
    found = devices(qdsim, "--device", "cpu", environment={"QDSIM_SIM_DEVICES": "2", "QDSIM_SIM_MEMORY": "3MiB"})
    assert found["cpu"]["used"] and found["cpu"]["reason"] is None
    assert any(name.startswith("cuda") for name in found)
    for name in ("sim:0", "sim:1"):
        assert found[name]["reason"] is None and not found[name]["used"]
        assert found[name]["memory_bytes"] == 3 << 20 and "simulated" in found[name]["model"]


def test_info_tells_the_device_in_use(qdsim):
    found = devices(qdsim, "--device", "sim")
    assert found["sim:0"]["used"] and not found["cpu"]["used"]
    text = qdsim("info", "--threads", "1", "--device", "sim").stdout
    assert "sim:0: simulated device" in text and ": used" in text and "cpu: used" not in text


def test_info_says_why_not(qdsim, tmp_path):
    found = devices(qdsim, environment=NO_PLUGINS)
    assert found["cpu"]["used"]
    for name in ("cuda", "sim"):
        assert not found[name]["used"] and "/nonexistent" in found[name]["reason"]
        assert "memory_bytes" not in found[name]
    (tmp_path / "qdsim_cuda.so").write_text("no library")
    found = devices(qdsim, environment={"QDSIM_PLUGIN_DIR": os.fspath(tmp_path)})
    assert "qdsim_cuda.so" in found["cuda"]["reason"]
    found = devices(qdsim, environment={"QDSIM_SIM_SEED": "seven"})
    assert "QDSIM_SIM_SEED=seven" in found["sim:0"]["reason"]


DOT = """\
name: small dome
dimension: 3
materials:
  dot: {mass: 0.03, band_edge_eV: 0.0}
  matrix: {mass: 0.067, band_edge_eV: 0.6}
background: matrix
regions:
  - {shape: dome, base_center_nm: [0, 0, 0], radius_nm: 8, height_nm: 5, material: dot}
grid:
  x: {from_nm: -12, to_nm: 12, nodes: 25}
  y: {from_nm: -12, to_nm: 12, nodes: 23}
  z: {from_nm: -6, to_nm: 10, nodes: 19}
states: 3
tolerance_eV: 1.0e-9
output: {plot: false}
"""


@pytest.mark.parametrize("text", [GOOD.replace("nodes: 121", "nodes: 481"), DOT], ids=["1D", "3D"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_simulated_device_agrees_with_the_cpu(qdsim, device, text, seed):
    """In whatever order its streams end."""

    def solve(name):
        outcome = qdsim("run", device(text), "--json", "--threads", "1", "--device", name,
                        environment={"QDSIM_SIM_SEED": str(seed)})
        outcome.assert_status(0)
        result = json.loads(outcome.stdout)
        return result["device"], [state["energy_eV"] for state in result["states"]]

    (cpu, expected), (sim, energies) = solve("cpu"), solve("sim")
    assert (cpu, sim) == ("cpu", "sim:0")
    assert energies == pytest.approx(expected, abs=1e-10)


def test_what_the_device_cannot_do_the_cpu_does_and_says_so(qdsim, device):
    small = {"QDSIM_SIM_MEMORY": "64KiB"}
    outcome = qdsim("run", device(DOT), "--device", "sim", environment=small)
    outcome.assert_status(0)
    assert "64 KiB free" in outcome.stderr and "the CPU solves instead" in outcome.stderr
    assert "\ndevice cpu: sim:0: it has 64 KiB free" in outcome.stdout
    result = json.loads(qdsim("run", device(DOT), "--json", "--device=sim", environment=small).stdout)
    assert result["device"] == "cpu" and "64 KiB free" in result["device_reason"]


def test_small_devices_are_solved_by_the_cpu(qdsim, path):
    whole = "400 unknowns or fewer are diagonalised as a whole, on the CPU"
    outcome = qdsim("run", path, "--device", "sim")
    outcome.assert_status(0)
    assert f"\ndevice cpu: sim:0: {whole}\n" in outcome.stdout
    assert outcome.stderr.count(f"sim:0: {whole}; the CPU solves instead") == 1
    result = json.loads(qdsim("run", path, "--json", "--device", "sim").stdout)
    assert (result["device"], result["device_reason"]) == ("cpu", f"sim:0: {whole}")


def test_open_systems_are_solved_by_the_cpu(qdsim):
    outcome = qdsim("run", ROOT / "examples/double_barrier.yaml", "--no-plot", "--device", "sim")
    outcome.assert_status(0)
    assert "\ndevice cpu: sim:0: it has no kernels for open systems" in outcome.stdout
    assert "the CPU solves instead" in outcome.stderr


# Between what is too little at a glance and what is enough, there is room for everything but whole pieces of the pool.
@pytest.mark.parametrize("memory", ["1MiB", "2MiB", "2500KiB", "3MiB", "3500KiB", "4MiB", "4500KiB", "5MiB", "5500KiB", "6MiB"])
def test_too_little_device_memory_is_found_before_the_solve(qdsim, memory):
    well = ROOT / "examples" / "self_consistent_well.yaml"
    outcome = qdsim("run", well, "--set", "grid.x.nodes=2001", "--device", "sim", "--no-plot", "--json",
                    environment={"QDSIM_SIM_MEMORY": memory})
    outcome.assert_status(0)
    result = json.loads(outcome.stdout)
    assert (result["device"] == "sim:0") == (result["device_reason"] == "")
