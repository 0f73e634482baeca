"""The command itself: help, usage errors, options, the texts it prints."""

import json
import re
import subprocess

import pytest

from command import COMMAND

COMMANDS = ["run", "check", "materials", "info"]


def test_version(qdsim):
    outcome = qdsim("--version")
    outcome.assert_status(0)
    assert re.fullmatch(r"qdsim \d+\.\d+\.\d+\n", outcome.stdout)


@pytest.mark.parametrize("arguments", [["help"], ["--help"], ["-h"]])
def test_help_lists_all_commands(qdsim, arguments):
    outcome = qdsim(*arguments)
    outcome.assert_status(0)
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", outcome.stdout, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(qdsim, command):
    by_option = qdsim(command, "--help")
    by_option.assert_status(0)
    assert by_option.stdout.startswith(f"usage: qdsim {command}")
    assert "--help" in by_option.stdout
    assert max(map(len, by_option.stdout.splitlines())) <= 120
    assert qdsim("help", command).stdout == by_option.stdout


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_names_every_option_of_the_issue(qdsim, command):
    text = qdsim(command, "--help").stdout
    options = ["--set", "--threads", "--memory-limit"]
    if command == "run":
        options += ["-o", "--json", "--quiet", "--no-plot"]
    for option in options:
        assert option in text


def test_no_command(qdsim):
    outcome = qdsim()
    outcome.assert_status(2)
    assert outcome.stdout == "" and "usage: qdsim" in outcome.stderr


@pytest.mark.parametrize(
    "arguments, fragments",
    [
        (["rnu", "device.yaml"], ['"rnu"', "run"]),
        (["help", "chekc"], ['"chekc"', "check"]),
        (["run"], ["no file"]),
        (["check"], ["no file"]),
        (["run", "device.yaml", "other.yaml"], ['"other.yaml"']),
        (["run", "device.yaml", "--treads", "2"], ["--treads", "--threads"]),
        (["run", "device.yaml", "--memory_limit=2GiB"], ["--memory_limit", "--memory-limit"]),
        (["run", "device.yaml", "-x"], ["-x"]),
        (["run", "device.yaml", "--threads"], ["--threads", "value"]),
        (["run", "device.yaml", "-o"], ["--output", "value"]),
        (["run", "device.yaml", "--json=yes"], ["--json", "no value"]),
        (["run", "device.yaml", "--threads", "two"], ["--threads", "two"]),
        (["run", "device.yaml", "--threads", "-1"], ["--threads", "-1"]),
        (["run", "device.yaml", "--threads", "99999"], ["99999"]),
        (["run", "device.yaml", "--memory-limit", "much"], ["--memory-limit", "much"]),
        (["info", "device.yaml"], ['"device.yaml"']),
    ],
    ids=lambda value: "_".join(value) if value and value[0] in ("rnu", "help", *COMMANDS) else "",
)
def test_usage_error(qdsim, device, arguments, fragments):
    device()
    qdsim(*arguments).assert_refused(2, *fragments)


def energies(outcome):
    outcome.assert_status(0)
    return [state["energy_eV"] for state in json.loads(outcome.stdout)["states"]]


def test_json_is_all_that_is_printed(qdsim, device):
    outcome = qdsim("run", device(), "--json")
    outcome.assert_status(0)
    result = json.loads(outcome.stdout)
    for key in (
        "qdsim input nodes unknowns device threads reference_eV converged iterations states time_s "
        "memory_peak_bytes statistics"
    ).split():
        assert key in result, key
    times = result["time_s"]
    assert set(times) == {"setup", "solve", "measure", "output", "total"}
    assert 0 < times["setup"] + times["solve"] + times["measure"] + times["output"] <= times["total"]
    state = result["states"][0]
    assert set(state) >= {"index", "energy_eV", "residual_eV", "position_nm", "spread_nm", "probability"}
    assert outcome.stderr == ""
    assert result["converged"] is True and result["reference_eV"] == 0.1


def test_file_has_the_printed_json(qdsim, device, tmp_path):
    printed = json.loads(qdsim("run", device(), "--json").stdout)
    written = json.loads((tmp_path / "out/device.json").read_text())
    assert written["states"] == printed["states"]


def test_table(qdsim, device):
    """The finite well of 20 nm and 100 meV, bound states at 9.09 and 35.60 meV."""
    outcome = qdsim("run", device())
    outcome.assert_status(0)
    rows = re.findall(r"^ +(\d) +(-?\d+\.\d+) +(-?\d+\.\d+) +(\d+\.\d+) ", outcome.stdout, re.M)
    assert [row[0] for row in rows] == ["0", "1"]
    assert float(rows[0][1]) == pytest.approx(0.009092, abs=2e-5)
    assert float(rows[0][2]) == pytest.approx(9.09 - 100, abs=0.02)
    assert float(rows[1][3]) == pytest.approx(35.60 - 9.09, abs=0.05)
    assert "well" in outcome.stdout and "out/device.json" in outcome.stdout
    assert "memory" in outcome.stdout and "time" in outcome.stdout


def test_quiet_prints_nothing(qdsim, device):
    outcome = qdsim("run", device(), "--quiet")
    outcome.assert_status(0)
    assert outcome.stdout == outcome.stderr == ""
    assert "out/device.json" in outcome.new_files


def test_output_folder(qdsim, device):
    outcome = qdsim("run", device(), "-o", "deep/er")
    outcome.assert_status(0)
    assert "deep/er/device.json" in outcome.new_files and "out" not in outcome.new_files


def test_set_changes_the_device(qdsim, device):
    path = device()
    plain = energies(qdsim("run", path, "--json"))
    narrow = energies(qdsim("run", path, "--json", "--set", "regions.0.from_nm=-5", "--set", "regions.0.to_nm=5"))
    more = energies(qdsim("run", path, "--json", "--set=states=3"))
    assert narrow[0] > plain[0]
    assert len(more) == 3


def test_threads_do_not_change_the_result(qdsim, device):
    path = device()
    one = energies(qdsim("run", path, "--json", "--threads", "1"))
    two = energies(qdsim("run", path, "--json", "--threads", "2"))
    assert one == pytest.approx(two, abs=1e-12)


def test_check_prints_a_configuration_that_can_be_read_again(qdsim, device, tmp_path):
    first = qdsim("check", device(), "--set", "states=3")
    first.assert_status(0)
    assert first.new_files == []
    assert re.search(r"^# unknowns: 119$", first.stdout, re.M)
    assert re.search(r"^# memory: about \d", first.stdout, re.M)
    assert re.search(r"^# time: about \d", first.stdout, re.M)
    (tmp_path / "device.yaml").write_text(first.stdout)
    second = qdsim("check", "device.yaml")
    second.assert_status(0)
    drop_costs = lambda text: [line for line in text.splitlines() if not line.startswith("#")]
    assert drop_costs(second.stdout) == drop_costs(first.stdout)
    assert "states: 3" in first.stdout


def test_check_and_run_agree_on_the_unknowns(qdsim, device):
    path = device()
    result = json.loads(qdsim("run", path, "--json").stdout)
    assert f"# unknowns: {result['unknowns']}\n" in qdsim("check", path).stdout


def test_device_from_json(qdsim, tmp_path):
    """JSON is YAML."""
    text = {
        "dimension": 1,
        "materials": {"well": {"mass": 1.0, "band_edge_eV": 0.0}},
        "background": "well",
        "grid": {"x": {"from_nm": 0, "to_nm": 10, "nodes": 101}, "order": 4},
        "states": 1,
        "output": {"plot": False},
    }
    (tmp_path / "box.json").write_text(json.dumps(text))
    outcome = qdsim("run", "box.json", "-o", "out", "--json")
    # hbar^2 pi^2 / (2 m L^2)
    assert energies(outcome)[0] == pytest.approx(0.0380998211615486 * 9.869604401089358 / 100, rel=1e-9)


# --- info ---


def test_info_text(qdsim):
    outcome = qdsim("info")
    outcome.assert_status(0)
    assert re.search(r"core \w+: dgemm \d+ GF/s, sgemm \d+ GF/s", outcome.stdout)
    for word in ("processor", "caches", "serial", "triad", "HDF5"):
        assert word in outcome.stdout
    # The GPU, or why there is none.
    assert re.search(r"^ +cuda(:\d+)?: \S", outcome.stdout, re.MULTILINE)


def test_info_json(qdsim):
    outcome = qdsim("info", "--json", "--threads", "1")
    outcome.assert_status(0)
    info = json.loads(outcome.stdout)
    assert info["threads"] == 1
    assert info["blas"]["dgemm_gflops"] > 0 and info["blas"]["sgemm_gflops"] > 0
    assert info["memory"]["triad_bytes_per_s"] > 0
    assert info["devices"][0]["name"] == "cpu"


def test_info_without_blas_says_why(qdsim):
    outcome = qdsim("info", "--json", environment={"QDSIM_BLAS": "/nonexistent"})
    outcome.assert_status(0)
    blas = json.loads(outcome.stdout)["blas"]
    assert blas["library"] is None and "QDSIM_BLAS=/nonexistent" in blas["reason"]


def test_standard_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        process = subprocess.run([COMMAND, "--version"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 3 and "No space left" in process.stderr
