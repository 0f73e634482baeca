"""The trace of a run's memory: when there is one, and what its name must not be."""

import json
import struct

import pytest

from command import COMMAND, GOOD, LONG, files_below, read_terminal

# The last record of a whole trace.
END = 4


def read_trace(path):
    """The records behind the header of a trace that must be whole."""
    header, records = path.read_bytes().split(b"\n\n", 1)
    assert header.startswith(b"qdsim memory trace 2\n")
    assert len(records) % 32 == 0
    kind, _, _, _, blocks, events, _ = struct.unpack("<BBHIQQQ", records[-32:])
    assert kind == END and 0 < blocks < events <= len(records) // 32 - 1
    return records


def test_trace_is_a_file(qdsim, device, tmp_path):
    outcome = qdsim("run", device(), "--memory-trace", "run.trace")
    outcome.assert_status(0)
    assert "wrote run.trace\n" in outcome.stdout and outcome.stderr == ""
    assert b"hamiltonian" in read_trace(tmp_path / "run.trace")


def test_trace_changes_no_result(qdsim, device):
    plain, traced = qdsim("run", device(), "--json"), qdsim("run", device(), "--json", "--memory-trace", "run.trace")
    energies = [[state["energy_eV"] for state in json.loads(run.stdout)["states"]] for run in (plain, traced)]
    assert energies[0] == energies[1]


def test_trace_that_cannot_be_written_is_an_error(qdsim, device):
    qdsim("run", device(), "--memory-trace", "nowhere/run.trace").assert_refused(3, "nowhere")


@pytest.mark.parametrize("folder", ["new", "new/er", "new/"])
def test_trace_in_an_output_folder_that_is_made(qdsim, device, tmp_path, folder):
    outcome = qdsim("run", device(), "-o", folder, "--memory-trace", f"{folder}/run.trace")
    outcome.assert_status(0)
    read_trace(tmp_path / folder / "run.trace")
    assert (tmp_path / folder / "device.json").exists()


# --- names that it must not have ---


@pytest.mark.parametrize("name", ["device.yaml", "./device.yaml", "folder/../device.yaml", "symbolic", "hard"])
def test_trace_that_would_replace_the_device_file(qdsim, device, tmp_path, name):
    path = tmp_path / device()
    (tmp_path / "folder").mkdir()
    (tmp_path / "symbolic").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    qdsim("run", path, "--memory-trace", name).assert_refused(2, f"--memory-trace {name}", "device file")
    assert path.read_text() == GOOD


@pytest.mark.parametrize("name", ["folder", "folder/", ".", "out"])
def test_trace_that_is_a_folder(qdsim, device, tmp_path, name):
    (tmp_path / "folder").mkdir()
    qdsim("run", device(), "--memory-trace", name).assert_refused(2, f"--memory-trace {name}", "folder")


RESULTS = ["device.json", "device.vtkhdf", "device.png", "device.memory.h5", "device.memory.png"]


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("folder", ["out", "./out/", "link", "{tmp_path}/out"])
def test_trace_that_would_replace_a_result(qdsim, device, tmp_path, folder, name):
    (tmp_path / "link").symlink_to("out")
    folder = folder.format(tmp_path=tmp_path)
    qdsim("run", device(), "--memory-trace", f"{folder}/{name}").assert_refused(2, name, "results")


@pytest.mark.parametrize("name", ["out/device.json", "hard", "out/device.png"])
def test_trace_that_would_replace_an_earlier_result(qdsim, device, tmp_path, name):
    qdsim("run", device()).assert_status(0)
    (tmp_path / "out/device.png").symlink_to("device.json")
    (tmp_path / "hard").hardlink_to(tmp_path / "out/device.json")
    before = (tmp_path / "out/device.json").read_bytes()
    qdsim("run", device(), "--memory-trace", name).assert_refused(2, name, "results")
    assert (tmp_path / "out/device.json").read_bytes() == before


def test_trace_beside_the_results(qdsim, device, tmp_path):
    """Names that are near to those of results, and a name of the results in another folder."""
    for name in ["out/device", "out/device.json.trace", "device.json"]:
        qdsim("run", device(), "--memory-trace", name).assert_status(0)
        read_trace(tmp_path / name)


# --- runs that fail ---


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["nothing.yaml"], 3),
        (["device.yaml", "--set", "state=2"], 3),
        (["device.yaml", "--device", "simm"], 2),
        (["device.yaml", "--device", "sim:99"], 2),
        (["device.yaml", "-o", "device.yaml"], 3),
        (["device.yaml", "--set", "grid.x.nodes=2000001", "--memory-limit", "20MiB", "--scratch", ""], 5),
    ],
    ids=["no_file", "bad_input", "unknown_device", "missing_device", "impossible_folder", "budget"],
)
def test_run_that_is_refused_has_no_trace(qdsim, device, arguments, status):
    device()
    qdsim("run", *arguments, "--memory-trace", "run.trace").assert_refused(status)


def test_trace_in_a_folder_that_was_made_goes_with_it(qdsim, device):
    arguments = ["run", device(), "-o", "new", "--memory-trace", "new/run.trace"]
    qdsim(*arguments, "--device", "simm").assert_refused(2)
    qdsim(*arguments, "--set", "state=2").assert_refused(3)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_run_that_fails_has_a_trace_and_says_so(qdsim, device, tmp_path, options):
    path = device(GOOD.replace("nodes: 121", "nodes: 1001"))
    outcome = qdsim("run", path, "--set", "tolerance_eV=1.0e-30", "--memory-trace", "run.trace", *options)
    outcome.assert_status(4)
    assert "converge" in outcome.stderr and "wrote the memory trace run.trace" in outcome.stderr
    assert outcome.stdout == "" and outcome.new_files == ["run.trace"]
    assert b"eigensolver" in read_trace(tmp_path / "run.trace")


def test_quiet_run_that_fails_prints_its_error_only(qdsim, device, tmp_path):
    path = device(GOOD.replace("nodes: 121", "nodes: 1001"))
    outcome = qdsim("run", path, "--set", "tolerance_eV=1.0e-30", "--memory-trace", "run.trace", "--quiet")
    outcome.assert_status(4)
    assert outcome.stderr.count("\n") == 1 and "converge" in outcome.stderr
    read_trace(tmp_path / "run.trace")


def test_interrupted_run_has_a_trace_and_says_so(device, tmp_path):
    command = [COMMAND, "run", device(LONG), "--memory-trace", "run.trace"]
    text, status = read_terminal(command, tmp_path, 60, until=b"solve")
    assert status == 130
    assert "interrupted" in text and "wrote the memory trace run.trace" in text
    assert sorted(files_below(tmp_path)) == ["device.yaml", "run.trace"]
    read_trace(tmp_path / "run.trace")


def test_help_says_which_failed_runs_leave_what(qdsim):
    text = " ".join(qdsim("run", "--help").stdout.split())
    assert "A memory trace is also written of a run that fails or is interrupted" in text
