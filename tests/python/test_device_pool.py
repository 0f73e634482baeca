"""The device pool for CuPy and PyTorch: on the pretended GPU through its C functions, on a GPU through the libraries."""

import ctypes
import subprocess
import sys

import pytest

import qdsim
from qdsim._core import pool as core

MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)(core.malloc_address)
FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(core.free_address)


def gpu_or_skip(library):
    pytest.importorskip(library, reason=f"no {library}")
    try:
        return qdsim.DevicePool("cuda")
    except qdsim.UnsupportedError as reason:
        pytest.skip(f"no GPU: {reason}")


def run(script):
    """In a process of its own: an allocator stays with the library for good."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_cupy_runs_on_the_pool():
    gpu_or_skip("cupy")
    run("""
import cupy, numpy, qdsim
pool = qdsim.DevicePool(memory_limit="2GiB")
pool.use_in_cupy()
x = cupy.arange(1 << 20, dtype=cupy.float64)
assert pool.statistics().used >= 8 << 20
assert float((2 * x).sum()) == float((1 << 20) * ((1 << 20) - 1))
streams = [cupy.cuda.Stream() for _ in range(4)]
for turn in range(50):
    for value, stream in enumerate(streams):
        with stream:
            y = cupy.full(1 << 18, value, dtype=cupy.float64)
            z = y + 1
            assert bool((z == value + 1).all())
try:
    cupy.empty(3 << 30, dtype=cupy.uint8)
except MemoryError as reason:
    assert "limit" in str(reason), reason
else:
    raise AssertionError("more than the limit was given")
del x, y, z
assert pool.statistics().used == 0
pool.trim()
assert pool.statistics().reserved == 0
""")


def test_pytorch_runs_on_the_pool():
    gpu_or_skip("torch")
    run("""
import torch, qdsim
pool = qdsim.DevicePool()
pool.use_in_pytorch()
x = torch.arange(1 << 20, dtype=torch.float64, device="cuda")
assert pool.statistics().used >= 8 << 20
assert (2 * x).sum().item() == (1 << 20) * ((1 << 20) - 1)
a = torch.rand(512, 512, device="cuda", dtype=torch.float64)
assert torch.allclose((a @ a).cpu(), a.cpu() @ a.cpu())
for turn in range(50):
    for value, stream in enumerate([torch.cuda.Stream() for _ in range(4)]):
        with torch.cuda.stream(stream):
            y = torch.full((1 << 18,), float(value), device="cuda")
            assert bool((y + 1 == value + 1).all())
del x, y, a
torch.cuda.synchronize()
print(pool.statistics())
""")
