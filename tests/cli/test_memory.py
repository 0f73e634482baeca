"""What a run tells of its memory."""

import json
import subprocess

import pytest

from command import COMMAND, ENDLESS, GOOD, ROOT, limit_file_size


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


WITHOUT_FIELDS = GOOD.replace("plot: false", "plot: false, fields: []")
KEEPERS = pytest.mark.parametrize("text, keeper", [(GOOD, "device.vtkhdf"), (WITHOUT_FIELDS, "device.memory.h5")],
                                  ids=["with_fields", "without_fields"])


@KEEPERS
def test_profile_lies_with_the_fields_or_alone(qdsim, device, tmp_path, text, keeper):
    h5py = pytest.importorskip("h5py")
    outcome = qdsim("run", device(text), "--memory-profile", "--no-plot")
    outcome.assert_status(0)
    assert outcome.stderr == "" and outcome.new_files == ["out", "out/device.json", f"out/{keeper}"]
    assert outcome.stdout.endswith(f"wrote out/device.json, out/{keeper}\n"
                                   f"memory profile: group /memory_profile of out/{keeper}\n")
    with h5py.File(tmp_path / "out" / keeper) as file:
        group = file["memory_profile"]
        count = len(group["time_s"])
        assert count >= 2
        assert group["process/resident"][:].min() > 1e5
        assert all(len(values) == count for place in ("host", "process") for values in group[place].values())
        assert ("VTKHDF/PointData/psi_0" in file) == (keeper == "device.vtkhdf")


def test_no_profile_where_none_is_wanted(qdsim, device, tmp_path):
    h5py = pytest.importorskip("h5py")
    outcome = qdsim("run", device())
    assert "profile" not in outcome.stdout
    with h5py.File(tmp_path / "out/device.vtkhdf") as file:
        assert sorted(file) == ["VTKHDF", "qdsim"]


def test_profile_of_an_earlier_run_is_left_alone(qdsim, device, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/device.memory.h5").write_text("earlier")
    outcome = qdsim("run", device(), "--memory-profile", "--no-plot")
    outcome.assert_status(0)
    assert "device.memory.h5" not in outcome.stdout
    assert (tmp_path / "out/device.memory.h5").read_text() == "earlier"


@KEEPERS
def test_profile_is_drawn(qdsim, device, tmp_path, text, keeper):
    image = pytest.importorskip("matplotlib.image")
    pytest.importorskip("h5py")
    outcome = qdsim("run", device(text), "--memory-profile")
    outcome.assert_status(0)
    assert outcome.stderr == ""
    assert f"wrote out/device.json, out/{keeper}, out/device.memory.png\n" in outcome.stdout
    colours = image.imread(tmp_path / "out" / "device.memory.png").reshape(-1, 4)
    assert len(set(map(tuple, colours))) > 10


def test_picture_of_the_states_is_drawn_beside_that_of_the_profile(qdsim, device):
    pytest.importorskip("matplotlib")
    pytest.importorskip("h5py")
    outcome = qdsim("run", device(GOOD.replace("plot: false", "plot: true")), "--memory-profile")
    outcome.assert_status(0)
    assert outcome.stderr == ""
    assert "wrote out/device.json, out/device.vtkhdf, out/device.png, out/device.memory.png\n" in outcome.stdout


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_profile_beside_output_of_another_kind(qdsim, device, tmp_path, option):
    outcome = qdsim("run", device(), "--memory-profile", "--no-plot", option)
    outcome.assert_status(0)
    assert outcome.stderr == "" and outcome.new_files == ["out", "out/device.json", "out/device.vtkhdf"]
    if option == "--json":
        json.loads(outcome.stdout)
    else:
        assert outcome.stdout == ""


@KEEPERS
def test_folder_in_the_place_of_the_profile_is_found_before_the_solve(qdsim, device, tmp_path, text, keeper):
    (tmp_path / "out" / keeper).mkdir(parents=True)
    outcome = qdsim("run", device(text), "--memory-profile", *ENDLESS)
    outcome.assert_refused(3, f"out/{keeper}", "a folder has that name", "-o")


@KEEPERS
def test_run_that_fails_leaves_no_profile(qdsim, device, text, keeper):
    qdsim("run", device(text), "--memory-profile", *ENDLESS).assert_refused(4, "converge")


def test_fields_are_left_without_a_profile_for_which_there_is_no_room(qdsim, device, tmp_path):
    h5py = pytest.importorskip("h5py")
    arguments = ["run", device(), "--no-plot", "--set", "grid.x.nodes=3001"]
    qdsim(*arguments, "-o", "before").assert_status(0)
    limit = limit_file_size((tmp_path / "before/device.vtkhdf").stat().st_size + 1000)
    outcome = qdsim(*arguments, "--memory-profile", preexec_fn=limit)
    outcome.assert_status(3)
    assert "the results are written, but without the timeline of the memory: " in outcome.stderr
    assert 'cannot write "out/device.vtkhdf"' in outcome.stderr and "File too large" in outcome.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["device.json", "device.vtkhdf"]
    with h5py.File(tmp_path / "out/device.vtkhdf") as file:
        assert "VTKHDF/PointData/psi_0" in file and "memory_profile" not in file


def test_profile_that_cannot_be_written_leaves_the_results(qdsim, device):
    path = device(GOOD.replace("plot: false", "plot: false, fields: []"))
    outcome = qdsim("run", path, "--memory-profile", "--no-plot", preexec_fn=limit_file_size(6000))
    outcome.assert_status(3)
    assert "device.memory.h5" in outcome.stderr
    assert outcome.new_files == ["out", "out/device.json"]
