"""What a run tells of its memory."""

import json
import subprocess

import pytest

from command import COMMAND, GOOD


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


def test_report_is_json_beside_a_result_in_json(tmp_path):
    done = run(tmp_path, "--memory-report", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["converged"]
    report = json.loads(done.stderr)
    assert report["host"]["total"]["peak_bytes"] >= report["host"]["hamiltonian"]["peak_bytes"] > 0
    assert report["pools"]["large"]["peak_reserved_bytes"] >= report["pools"]["large"]["peak_used_bytes"]


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


def test_profile_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "device.memory.h5").mkdir()
    done = run(tmp_path, "--memory-profile")
    assert done.returncode == 3
    assert "device.memory.h5" in done.stderr
