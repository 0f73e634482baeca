"""What a run tells of its memory."""

import json
import resource
import subprocess

import pytest

from command import COMMAND, GOOD, ROOT


def run(folder, *options):
    device = folder / "device.yaml"
    device.write_text(GOOD)
    return subprocess.run([COMMAND, "run", str(device), "-o", str(folder / "out"), "--no-plot", *options],
                          capture_output=True, text=True, timeout=300)


def test_report_is_a_table(tmp_path):
    done = run(tmp_path, "--memory-report")
    assert done.returncode == 0, done.stderr
    assert "place    tag" in done.stdout and "place    pool" in done.stdout
    assert "host     hamiltonian" in done.stdout


def test_report_is_part_of_a_result_in_json(tmp_path):
    done = run(tmp_path, "--memory-report", "--json")
    assert done.returncode == 0 and done.stderr == ""
    result = json.loads(done.stdout)
    report = result["memory_report"]
    assert result["converged"]
    assert report["host"]["total"]["peak_bytes"] >= report["host"]["hamiltonian"]["peak_bytes"] > 0
    assert report["pools"]["large"]["peak_reserved_bytes"] >= report["pools"]["large"]["peak_used_bytes"]
    assert "memory_report" not in json.loads((tmp_path / "out" / "device.json").read_text())


def test_report_is_json_also_beside_a_warning(qdsim):
    outcome = qdsim("run", ROOT / "examples/double_barrier.yaml", "--no-plot", "--device", "sim", "--json",
                    "--memory-report")
    outcome.assert_status(0)
    assert "warning" in outcome.stderr
    assert json.loads(outcome.stdout)["memory_report"]["process_peak_bytes"] > 0


def test_no_report_where_none_is_wanted(tmp_path):
    assert "memory_report" not in json.loads(run(tmp_path, "--json").stdout)


def test_profile_is_a_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    done = run(tmp_path, "--memory-profile")
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "out" / "device.memory.h5") as file:
        group = file["memory_profile"]
        count = len(group["time_s"])
        assert count >= 2
        assert group["process/resident"][:].min() > 1e5
        assert all(len(values) == count for place in ("host", "process") for values in group[place].values())


def test_profile_is_drawn(qdsim, device, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    pytest.importorskip("h5py")
    outcome = qdsim("run", device(), "--memory-profile")
    outcome.assert_status(0)
    assert outcome.stderr == ""
    assert "wrote out/device.memory.h5, out/device.memory.png\n" in outcome.stdout
    colours = image.imread(tmp_path / "out" / "device.memory.png").reshape(-1, 4)
    assert len(set(map(tuple, colours))) > 10


def test_profile_is_drawn_only_when_wanted(qdsim, device):
    outcome = qdsim("run", device(), "--memory-profile", "--no-plot")
    outcome.assert_status(0)
    assert outcome.stderr == "" and "wrote out/device.memory.h5\n" in outcome.stdout
    assert "out/device.memory.png" not in outcome.new_files


# A tolerance below the rounding error of the energies: the solve ends with status 4.
ENDLESS = ["--set", "grid.x.nodes=1001", "--set", "tolerance_eV=1.0e-30"]


def test_folder_in_the_place_of_the_profile_is_found_before_the_solve(qdsim, device, tmp_path):
    (tmp_path / "out" / "device.memory.h5").mkdir(parents=True)
    outcome = qdsim("run", device(), "--memory-profile", *ENDLESS)
    outcome.assert_refused(3, "out/device.memory.h5", "a folder has that name", "-o")


def test_profile_that_cannot_be_written_leaves_the_results(qdsim, device):
    path = device(GOOD.replace("plot: false", "plot: false, fields: []"))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
    outcome = qdsim("run", path, "--memory-profile", "--no-plot", preexec_fn=limit)
    outcome.assert_status(3)
    assert "device.memory.h5" in outcome.stderr
    assert outcome.new_files == ["out", "out/device.json"]
