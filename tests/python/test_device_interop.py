"""Arrays and GPU memory shared with CuPy and PyTorch. What needs no GPU runs with PyTorch on the host; the rest where there is
a GPU and the library."""

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

import qdsim


def library_or_skip(name):
    return pytest.importorskip(name, reason=f"no {name}")


@pytest.fixture(scope="module")
def gpu():
    try:
        qdsim.memory_stats("cuda")
    except qdsim.UnsupportedError as reason:
        pytest.skip(f"no GPU: {reason}")


@pytest.fixture
def cupy(gpu):
    return library_or_skip("cupy")


@pytest.fixture
def torch(gpu):
    return library_or_skip("torch")


@pytest.fixture
def host_torch():
    return library_or_skip("torch")


def buffers(device="cuda"):
    gc.collect()
    return qdsim.memory_stats(device)["buffers"]["current"]


class Old:
    """A producer of DLPack before version 1.0."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, stream=None):
        capsule = self.array.__dlpack__(stream=stream)
        assert '"dltensor"' in repr(capsule)
        return capsule


class Cuda:
    """What has nothing but the CUDA array interface, and keeps its owner."""

    def __init__(self, array):
        self.array, self.__cuda_array_interface__ = array, array.__cuda_array_interface__


# --- from here to CuPy and PyTorch ------------------------------------------------------------------------------------

TO_CUPY = {
    "cupy()": lambda cupy, a: a.cupy(),
    "from_dlpack": lambda cupy, a: cupy.from_dlpack(a.on("device")),
    "from_dlpack, no version": lambda cupy, a: cupy.from_dlpack(Old(a.on("device"))),
    "asarray": lambda cupy, a: (a.prefetch("device"), cupy.asarray(a))[1],
    "the interface alone": lambda cupy, a: (a.prefetch("device"), cupy.asarray(Cuda(a)))[1],
}
TO_TORCH = {
    "from_dlpack": lambda torch, a: torch.from_dlpack(a.on("device")),
    "from_dlpack, no version": lambda torch, a: torch.from_dlpack(Old(a.on("device"))),
    "as_tensor": lambda torch, a: (a.prefetch("device"), torch.as_tensor(Cuda(a), device="cuda"))[1],
}
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64", "complex64", "complex128"]


@pytest.mark.parametrize("strategy", ["adaptive", "gpu_only", "unified"])
@pytest.mark.parametrize("way", TO_CUPY)
def test_cupy_looks_into_an_array(cupy, way, strategy):
    before = buffers()
    a = qdsim.zeros((3, 4), "float32", strategy=strategy, tag="shared", device="cuda")
    c = TO_CUPY[way](cupy, a)
    c[1, 2] = 5
    del a  # the array first
    others = [qdsim.zeros((3, 4), "float32", strategy="gpu_only", device="cuda") for _ in range(3)]
    assert c.shape == (3, 4) and c.dtype == "float32" and float(c.sum()) == 5
    del c, others
    assert buffers() == before
    a = qdsim.zeros((3, 4), "float32", strategy=strategy, device="cuda")
    c = TO_CUPY[way](cupy, a)
    c[...] = 2
    cupy.cuda.Device().synchronize()
    del c  # the view first
    back = qdsim.empty((3, 4), "float32", device="cuda")
    back.copy_from(a)
    assert back.numpy().sum() == 24
    del a, back
    assert buffers() == before


@pytest.mark.parametrize("strategy", ["adaptive", "gpu_only", "unified"])
@pytest.mark.parametrize("way", TO_TORCH)
def test_pytorch_looks_into_an_array(torch, way, strategy):
    before = buffers()
    a = qdsim.zeros((3, 4), "float32", strategy=strategy, tag="shared", device="cuda")
    t = TO_TORCH[way](torch, a)
    t[1, 2] = 5
    del a
    assert t.is_cuda and t.shape == (3, 4) and t.dtype == torch.float32 and t.sum().item() == 5
    del t
    assert buffers() == before
    a = qdsim.zeros((3, 4), "float32", strategy=strategy, device="cuda")
    t = TO_TORCH[way](torch, a)
    t += 2
    torch.cuda.synchronize()
    del t
    back = qdsim.empty((3, 4), "float32", device="cuda")
    back.copy_from(a)
    assert back.numpy().sum() == 24
    del a, back
    assert buffers() == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_types_and_contents_arrive_on_the_gpu(cupy, dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    a = qdsim.asarray(x, copy=True, device="cuda")
    c = a.cupy()
    np.testing.assert_array_equal(cupy.asnumpy(c), x)
    back = qdsim.from_dlpack(c)
    assert back.dtype == x.dtype and back.shape == x.shape
    np.testing.assert_array_equal(cupy.asnumpy(back.cupy()), x)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,) * 20])
def test_shapes_arrive_on_the_gpu(cupy, shape):
    a = qdsim.zeros(shape, device="cuda", strategy="gpu_only")
    for c in (a.cupy(), cupy.asarray(a)):
        assert c.shape == shape and c.size == a.size


def test_read_only_stays_so_where_a_library_knows_it(cupy):
    a = qdsim.asarray(np.arange(4.0), copy=True, device="cuda")
    r = a.view(readonly=True)
    with pytest.raises(BufferError, match="no read-only arrays"):
        cupy.from_dlpack(Old(r.on("device")))
    r.prefetch("device")
    assert r.__cuda_array_interface__["data"][1] is True and r.__cuda_array_interface__["version"] == 3


# --- from CuPy and PyTorch to here ------------------------------------------------------------------------------------


@pytest.mark.parametrize("take", [qdsim.from_dlpack, qdsim.asarray, lambda c: qdsim.from_dlpack(OldCupy(c))])
def test_arrays_of_cupy_come_in(cupy, take):
    before = buffers()
    gone = []

    class Watched:
        def __del__(self):
            gone.append(1)

    memory = cupy.cuda.alloc(64)
    watched = Watched()
    owned = cupy.cuda.UnownedMemory(memory.ptr, 64, (memory, watched))
    c = cupy.ndarray((8,), "float64", cupy.cuda.MemoryPointer(owned, 0))
    c[...] = cupy.arange(8)
    del memory, owned, watched
    a = take(c)
    assert a.strategy is None and a.device == "cuda:0" and a.__dlpack_device__() == (2, 0)
    pointer = c.data.ptr
    del c
    gc.collect()
    assert not gone and a.__cuda_array_interface__["data"][0] == pointer
    assert float(cupy.asarray(a).sum()) == 28
    view = a.cupy()
    del a
    gc.collect()
    assert not gone and float(view.sum()) == 28
    del view
    assert buffers() == before and gone


class OldCupy:
    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__(stream=stream)


def test_tensors_come_in(torch):
    before = buffers()
    t = torch.arange(8, dtype=torch.float64, device="cuda")
    pointer = t.data_ptr()
    a = qdsim.asarray(t)
    assert a.device == "cuda:0" and a.__cuda_array_interface__["data"][0] == pointer
    del t
    torch.cuda.empty_cache()
    other = torch.zeros(8, dtype=torch.float64, device="cuda")
    assert torch.from_dlpack(a).sum().item() == 28
    del a, other
    assert buffers() == before
    t = torch.zeros(8, device="cuda")
    a = qdsim.from_dlpack(t)
    del a
    t += 1
    assert t.sum().item() == 8
    host = qdsim.empty(8, "float32", device="cuda")
    host.copy_from(qdsim.from_dlpack(t))
    assert host.numpy().tolist() == [1] * 8


def test_copies_of_what_cannot_be_looked_at(cupy):
    torch = library_or_skip("torch")
    c = cupy.arange(12.0).reshape(3, 4)
    for x, expected in ((c.T, c.T), (c[:, ::2], c[:, ::2]), (torch.from_dlpack(c).T, c.T)):
        with pytest.raises(qdsim.ArgumentError, match="not contiguous"):
            qdsim.from_dlpack(x)
        with pytest.raises(qdsim.ArgumentError, match="without a copy"):
            qdsim.asarray(x, copy=False)
        a = qdsim.asarray(x, tag="copied")
        assert a.tag == "copied" and a.shape == expected.shape
        np.testing.assert_array_equal(a.numpy(), cupy.asnumpy(expected))
    for x in (c, torch.from_dlpack(c)):
        a = qdsim.asarray(x, "float32")
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a.numpy(), cupy.asnumpy(c))
        b = qdsim.asarray(x, copy=True)
        b.cupy()[...] = 0
        assert float(c.sum()) == 66


def test_cupy_and_pytorch_meet_in_one_array(cupy, torch):
    """Several who may write on one side."""
    a = qdsim.zeros(1000, "float32", device="cuda")
    c, t = a.cupy(), torch.from_dlpack(a.on("device"))
    assert c.data.ptr == t.data_ptr()
    c += 1
    cupy.cuda.Device().synchronize()
    t *= 3
    torch.cuda.synchronize()
    assert float(c.sum()) == 3000
    with pytest.raises(qdsim.ArgumentError, match="acquired|being"):
        a.numpy()
    del c, t
    assert a.numpy().sum() == 3000


def test_work_on_another_stream_is_waited_for(cupy):
    """CuPy hands its current stream over when it takes an array, and the library waits for the default stream when it takes
    one of CuPy's: what stands in the stream before is done."""
    for _ in range(20):
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            c = cupy.zeros(1 << 22)
            for _ in range(20):
                c += 1
            a = qdsim.from_dlpack(c)
        host = qdsim.empty(a.shape, device="cuda")
        host.copy_from(a)
        assert (host.numpy() == 20).all()
        a = qdsim.zeros(1 << 20, device="cuda")
        with stream:
            c = a.cupy()
            c += 1
            stream.synchronize()
            del c
        assert (a.numpy() == 1).all()


def test_threads_exchange_arrays(cupy):
    failures = []

    def work(number):
        try:
            with cupy.cuda.Device(0):
                for turn in range(30):
                    a = qdsim.zeros(1 << 12, device="cuda")
                    c = a.cupy()
                    c += number
                    cupy.cuda.get_current_stream().synchronize()
                    b = qdsim.from_dlpack(c)
                    del a
                    assert float(b.cupy().sum()) == number << 12
        except BaseException as error:
            failures.append(error)

    before = buffers()
    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures and buffers() == before


# --- PyTorch on the host ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_the_host_share_memory(host_torch, dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    a = qdsim.asarray(x, copy=True, device="cpu")
    t = host_torch.from_dlpack(a)
    assert t.data_ptr() == a.__array_interface__["data"][0] and str(t.dtype) == f"torch.{dtype}"
    np.testing.assert_array_equal(t.numpy(), x)
    del a
    b = qdsim.from_dlpack(t)
    del t
    np.testing.assert_array_equal(b.numpy(), x)


@pytest.mark.parametrize("make", [lambda torch: torch.zeros(3, requires_grad=True), lambda torch: torch.zeros(3).to_sparse(),
                                  lambda torch: torch.zeros(3, dtype=torch.complex64).conj()])
def test_tensors_without_plain_memory_are_refused(host_torch, make):
    t = make(host_torch)
    with pytest.raises(BufferError):
        qdsim.from_dlpack(t)
    with pytest.raises(qdsim.ArgumentError, match="Tensor object that cannot be copied: .*tensor"):
        qdsim.asarray(t)


def test_tensors_with_gaps_or_of_another_type_are_copied(host_torch):
    t = host_torch.arange(12.0).reshape(3, 4)
    assert qdsim.asarray(t.T).numpy().tolist() == t.T.tolist()
    assert qdsim.asarray(t, "float64").dtype == np.float64
    assert qdsim.asarray(t, "float32").strategy is None
    with pytest.raises(qdsim.ArgumentError, match="without a copy"):
        qdsim.asarray(t, "float64", copy=False)


# --- on our pool ------------------------------------------------------------------------------------------------------


def run(script):
    """In a process of its own: an allocator stays with the library for good, and must come before PyTorch uses the GPU."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cupy_computes_on_the_pool(cupy):
    run("""
import cupy, numpy, qdsim
pool = qdsim.DevicePool(memory_limit="2GiB")
pool.use_in_cupy()
rng = numpy.random.default_rng(7)
x, y = rng.standard_normal((2, 1024, 1024))
a, b = cupy.asarray(x), cupy.asarray(y)
assert pool.statistics().used == 2 * x.nbytes
c = a @ b
assert numpy.allclose(cupy.asnumpy(c), x @ y, atol=1e-9)
held = pool.statistics()
assert 3 * x.nbytes <= held.used <= held.peak_used <= held.peak_reserved <= 2 << 30
array = qdsim.from_dlpack(c)          # memory of our pool, through CuPy, as an array
del c
assert numpy.allclose(cupy.asnumpy(cupy.from_dlpack(array)), x @ y, atol=1e-9)
del array
for size, text in ((3 << 30, "the limit is 2 GiB"), (1 << 50, "1024 TiB")):
    try:
        cupy.empty(size, dtype=cupy.uint8)
    except MemoryError as reason:
        assert isinstance(reason, qdsim.Error) and text in str(reason), reason
    else:
        raise AssertionError("more than the limit was given")
d = a + b                             # and work goes on
assert numpy.allclose(cupy.asnumpy(d), x + y)
del a, b, d
cupy.cuda.Device().synchronize()
assert pool.statistics().used <= 64 << 20, pool.statistics()   # what cuBLAS keeps for itself
""")


def test_cupy_on_the_pool_in_streams_and_threads(cupy):
    run("""
import threading, cupy, qdsim
pool = qdsim.DevicePool()
pool.use_in_cupy()
failures = []
def work(number):
    try:
        stream = cupy.cuda.Stream(non_blocking=True)
        for turn in range(100):
            with stream:
                x = cupy.full(1 << 16, number, dtype=cupy.float64)
                y = (x + turn).sum()
                assert float(y) == (number + turn) * (1 << 16), (number, turn)
    except BaseException as error:
        failures.append(error)
threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, failures
assert pool.statistics().used == 0 and pool.statistics().peak_used > 0
pool.trim()
assert pool.statistics().reserved == 0
""")


def test_pytorch_trains_on_the_pool(torch):
    run("""
import torch, qdsim
pool = qdsim.DevicePool(memory_limit="4GiB")
pool.use_in_pytorch()
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Tanh(), torch.nn.Linear(256, 1)).cuda()
parameters = sum(p.numel() * p.element_size() for p in model.parameters())
assert pool.statistics().used >= parameters
optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
x = torch.randn(512, 64, device="cuda")
wanted = x[:, :1] * 2 - x[:, 1:2]
losses = []
for step in range(100):
    optimiser.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), wanted)
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
assert losses[-1] < losses[0] / 20, losses
used = pool.statistics()
assert used.peak_used > 4 * parameters and used.peak_reserved <= 4 << 30   # gradients and two moments
array = qdsim.asarray(x)              # memory of our pool, through PyTorch, as an array
assert torch.equal(torch.from_dlpack(array), x)
del array
streams = [torch.cuda.Stream() for _ in range(4)]
for turn in range(25):
    for value, stream in enumerate(streams):
        with torch.cuda.stream(stream):
            y = torch.full((1 << 18,), float(value), device="cuda")
            assert bool((y + 1 == value + 1).all())
del y, loss, wanted, x
optimiser.zero_grad()
torch.cuda.synchronize()
assert pool.statistics().used < used.peak_used
""")


def test_pytorch_is_told_when_the_pool_is_full(torch):
    run("""
import torch, qdsim
pool = qdsim.DevicePool(memory_limit="256MiB")
pool.use_in_pytorch()
x = torch.ones(1 << 20, device="cuda")
for turn in range(3):
    try:
        y = x.repeat(1 << 12)
    except RuntimeError as reason:
        assert "the limit is 256 MiB" in str(reason), reason
    else:
        raise AssertionError("more than the limit was given")
assert x.sum().item() == 1 << 20      # the process and its work on the GPU are whole
""")
