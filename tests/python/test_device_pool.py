"""The device pool for CuPy and PyTorch through its C functions, on the pretended GPU; test_device_interop.py has the libraries."""

import ctypes
import signal
import subprocess
import sys

import pytest

import qdsim
from qdsim._core import pool as core

MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)(core.malloc_address)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(core.free_address)


def run(script):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)


def test_functions_take_from_the_pool():
    pool = qdsim.DevicePool("sim", memory_limit="64MiB")
    assert pool.statistics() == (0, 0, 0, 0)
    first = MALLOC(pool._pool.address, 3 << 20, 0)
    assert first and first % 256 == 0
    assert pool.statistics().used == 3 << 20
    FREE(pool._pool.address, first, 0)
    assert MALLOC(pool._pool.address, 3 << 20, 0) == first
    FREE(pool._pool.address, first, 0)
    assert pool.statistics().used == 0 and pool.statistics().peak_used == 3 << 20
    assert 3 << 20 <= pool.statistics().reserved <= 64 << 20


def test_no_room_and_another_device_are_told(caplog):
    pool = qdsim.DevicePool("sim", memory_limit="64MiB")
    assert MALLOC(pool._pool.address, 65 << 20, 0) is None
    assert "the limit is 64 MiB" in caplog.text
    caplog.clear()
    assert MALLOC(pool._pool.address, 1, 1) is None
    assert "device 1" in caplog.text


def test_slack_is_checked():
    qdsim.DevicePool("sim", slack=float("inf"))
    for wrong in (0.5, -1, float("nan")):
        with pytest.raises(ValueError, match="1 or more"):
            qdsim.DevicePool("sim", slack=wrong)
    with pytest.raises(qdsim.ArgumentError, match="slack: 'x' is no real number"):
        qdsim.DevicePool("sim", None, "x")


def test_the_cpu_has_no_device_pool():
    with pytest.raises(qdsim.UnsupportedError, match="uses the CPU"):
        qdsim.DevicePool("cpu")


def test_one_pool_is_installed_at_a_time():
    one, two = (qdsim.DevicePool("sim") for _ in range(2))
    one._pool.install()
    one._pool.install()
    with pytest.raises(qdsim.ArgumentError, match="another device pool is installed"):
        two._pool.install()
    del one
    two._pool.install()


def test_pytorchs_function_throws_where_there_is_no_room():
    """It looks for no NULL. Nobody catches the exception here, so that it ends the process with its message."""
    done = run("""
import ctypes, qdsim
from qdsim._core import pool as core
pool = qdsim.DevicePool("sim", memory_limit="64MiB")
pool._pool.install()
library = ctypes.CDLL(core.library())
library.qds_torch_malloc.argtypes = ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p
library.qds_torch_malloc(65 << 20, 0, None)
""")
    assert done.returncode == -signal.SIGABRT
    assert "std::runtime_error" in done.stderr and "the limit is 64 MiB" in done.stderr
