"""Choosing what computes: --device, and what qdsim info says of each candidate."""

import json
import os

import pytest

# No plugin is found here, so auto takes the CPU on every machine.
NO_PLUGINS = {"QDSIM_PLUGIN_DIR": "/nonexistent"}


@pytest.fixture
def path(device):
    """A device file."""
    return device()


@pytest.mark.parametrize(
    "name, fragments",
    [
        ("cup", ['"cup"', 'did you mean "cpu"?', "allowed are auto, cpu, cuda, cuda:N"]),
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
