"""Choosing what computes."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import qdsim


@pytest.fixture
def no_plugins(monkeypatch):
    """auto takes the CPU on every machine."""
    monkeypatch.setenv("QDSIM_PLUGIN_DIR", "/nonexistent")


def test_auto_says_why_it_took_the_cpu(well, no_plugins):
    result = qdsim.run(well)
    assert result.device == "cpu"
    assert "no qdsim_cuda.so in QDSIM_PLUGIN_DIR=/nonexistent" in result.device_reason
    assert result.to_dict()["device_reason"] == result.device_reason


def test_cpu_needs_no_reason(well):
    result = qdsim.run(well, device="cpu")
    assert (result.device, result.device_reason, result.to_dict()["device_reason"]) == ("cpu", "", None)
    assert qdsim.Device(well, device="cpu").runs_on == "cpu"


def test_missing_device_is_an_error(well, no_plugins):
    for name in ("cuda", "sim"):
        with pytest.raises(qdsim.UnsupportedError, match=f'no device "{name}": .*/nonexistent'):
            qdsim.run(well, device=name)
        with pytest.raises(qdsim.UnsupportedError, match=f'no device "{name}"'):
            qdsim.eigenstates(np.zeros(11), spacing_nm=1, states=1, device=name)


def test_unknown_device(well):
    with pytest.raises(qdsim.ArgumentError, match='no device "cup" .did you mean "cpu".*allowed are auto, cpu'):
        qdsim.Device(well, device="cup")
    for wrong in (None, 0, b"cpu"):
        with pytest.raises(qdsim.ArgumentError, match='device: .*"sim" and "sim:N" are allowed'):
            qdsim.Device(well, device=wrong)


def test_plugins_are_part_of_the_package(source_tree):
    found = {each["name"]: each for each in qdsim.info()["devices"]}
    assert found["sim:0"]["reason"] is None
    assert found["sim:0"]["memory_bytes"] == 1 << 30
    assert os.path.exists(os.path.join(os.path.dirname(qdsim._core.__file__), "qdsim/qdsim_sim.so"))


def test_states_come_from_the_device_when_asked():
    dot = {
        "materials": {"out": {"mass": 0.1, "band_edge_eV": 0.4}, "in": {"mass": 0.05, "band_edge_eV": 0.0}},
        "background": "out", "states": 3,
        "regions": [{"shape": "box", "min_nm": [-3, -2, -1.5], "max_nm": [2.3, 1.7, 1.1], "material": "in"}],
        "grid": {axis: {"from_nm": -4, "to_nm": 4, "nodes": 15} for axis in "xyz"},
    }
    cpu, sim = (qdsim.run(dot, device=device) for device in ("cpu", "sim"))
    assert (cpu.device, sim.device) == ("cpu", "sim:0")
    with ThreadPoolExecutor(4) as pool:  # several threads ask for the same states
        found = list(pool.map(sim.psi, [2, 1, 0, 2, 1, 0]))
    for state in range(3):
        np.testing.assert_allclose(found[2 - state], cpu.psi(state), atol=1e-5)
        assert np.shares_memory(found[2 - state], found[5 - state])
    np.testing.assert_array_equal(sim.band_edge_eV, cpu.band_edge_eV)
    np.testing.assert_array_equal(sim.materials, cpu.materials)
    assert sim.statistics["measure_s"] >= 0
    del sim
    wx, wy, wz = np.ix_(*cpu.weights_nm)
    assert np.isclose(np.sum(found[0] ** 2 * wx * wy * wz), 1)  # they keep the result alive


FORKED = """
import gc, os, signal, sys
import numpy as np, qdsim
device = qdsim.Device({well!r}, device="sim")
result = device.solve(progress=False)
array = qdsim.zeros((100,), device="sim")
assert result.device == "sim:0"
child = os.fork()
if child == 0:
    signal.alarm(20)
    for use in (lambda: result.psi(0), lambda: device.solve(progress=False)):
        try:
            use()
        except qdsim.UnsupportedError as error:
            assert "made by fork" in str(error), error
        else:
            os._exit(7)
    {end}
assert os.waitpid(child, 0)[1] == 0
assert np.isfinite(result.psi(0)).all() and (array.numpy() == 0).all()
"""


@pytest.mark.parametrize("end", ["sys.exit(0)", "del device, result, array, use; gc.collect(); os._exit(0)"],
                         ids=["held to the end", "dropped"])
def test_fork_leaves_the_device_to_the_parent(well, end):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED.format(well=well, end=end)]  # os.fork beside threads
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
