"""Arrays over the library's memory: what NumPy, DLPack and the buffer protocol see, who keeps whom alive, and what is
refused. Each device of this machine has its turn; what needs a GPU runs where there is one."""

import copy
import ctypes
import gc
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest

import qdsim
from qdsim._core import array as core

TYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
         "complex64", "complex128"]


@pytest.fixture(params=["cpu", "sim", "cuda"])
def device(request):
    try:
        qdsim.memory_stats(request.param)
    except qdsim.UnsupportedError as reason:
        pytest.skip(str(reason))
    return request.param


def buffers(device="cpu"):
    gc.collect()
    return qdsim.memory_stats(device)["buffers"]


# --- what an array is -------------------------------------------------------------------------------------------------


def test_an_array_says_what_it_is(device):
    before = buffers(device)
    line = test_an_array_says_what_it_is.__code__.co_firstlineno + 3
    a = qdsim.zeros((3, 4), np.complex64, tag="psi", device=device)
    assert (a.shape, a.dtype, a.ndim, a.size, a.nbytes) == ((3, 4), np.complex64, 2, 12, 96)
    assert (a.strategy, a.tag, a.readonly) == ("adaptive", "psi", False)
    assert a.source == f"{__file__}:{line}"
    assert a.device.startswith(device) and "psi" in repr(a)
    assert (a.numpy() == 0).all() and a.places == ["host" if device == "cpu" else "pinned"]
    after = buffers(device)
    assert after["current"] == before["current"] + 1
    assert after["python"]["current_bytes"] == before["python"]["current_bytes"] + 96
    assert after["tags"]["psi"][a.places[0]]["current_bytes"] == 96
    del a
    assert buffers(device)["python"] == before["python"]


@pytest.mark.parametrize("dtype", TYPES)
def test_types_go_both_ways(dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    a = qdsim.empty(x.shape, dtype, device="cpu")
    a.numpy()[:] = x
    for seen in (a.numpy(), np.asarray(memoryview(a)), np.asarray(a), np.from_dlpack(a),
                 qdsim.from_dlpack(x).numpy(), qdsim.from_dlpack(a).numpy(), qdsim.asarray(x, copy=True).numpy()):
        assert seen.dtype == x.dtype and seen.shape == x.shape
        np.testing.assert_array_equal(seen, x)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), 5, [2, 3], np.int64(4), (1,) * 32])
def test_shapes(shape):
    a = qdsim.zeros(shape, device="cpu")
    expected = np.zeros(shape)
    for seen in (a.numpy(), np.from_dlpack(a), qdsim.from_dlpack(expected).numpy()):
        assert seen.shape == expected.shape
        np.testing.assert_array_equal(seen, expected)


def test_memory_is_shared_and_not_copied():
    a = qdsim.zeros(10, device="cpu")
    views = [a.numpy(), np.asarray(a), np.from_dlpack(a), a.view().numpy(), qdsim.from_dlpack(a).numpy()]
    assert len({view.ctypes.data for view in views}) == 1
    views[0][3] = 7
    assert all(view[3] == 7 for view in views)
    x = np.zeros(10)
    assert qdsim.asarray(x).numpy().ctypes.data == x.ctypes.data
    assert qdsim.asarray(x, copy=True).numpy().ctypes.data != x.ctypes.data
    assert qdsim.asarray(a) is a


# --- who keeps whom alive ---------------------------------------------------------------------------------------------

VIEWS = {
    "numpy": lambda a: a.numpy(),
    "buffer": memoryview,
    "dlpack": np.from_dlpack,
    "dlpack without version": lambda a: qdsim.from_dlpack(Old(a)).numpy(),
    "interface": lambda a: np.asarray(Interface(a)),
    "array of arrays": lambda a: qdsim.from_dlpack(a).numpy(),
}


class Old:
    """A producer of DLPack before version 1.0."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__(stream=stream)


class Interface:
    def __init__(self, array):
        self.array, self.__array_interface__ = array, array.__array_interface__


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_outlives_the_array(kind, device):
    """Fault 53: a NumPy array over memory that has gone."""
    before = buffers(device)
    a = qdsim.zeros(1000, tag="outlived", device=device)
    view = VIEWS[kind](a)
    del a
    assert buffers(device)["python"]["current"] > before["python"]["current"]
    others = [qdsim.zeros(1000, device=device) for _ in range(5)]
    np.asarray(view)[:] = 3
    assert np.asarray(view).sum() == 3000 and all(other.numpy().sum() == 0 for other in others)
    del view, others
    assert buffers(device)["current"] == before["current"]


@pytest.mark.parametrize("kind", VIEWS)
def test_the_array_outlives_a_view(kind, device):
    a = qdsim.zeros(1000, device=device)
    for turn in range(3):
        view = VIEWS[kind](a)
        np.asarray(view)[turn] = turn + 1
        del view
    assert a.numpy()[:3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("producer", [lambda x: x, Old])
def test_another_librarys_memory_lives_as_long_as_the_array(producer):
    """Fault 52: a NumPy array that is never given back."""
    gone = []

    class Watched(np.ndarray):
        def __del__(self):
            gone.append(1)

    x = np.arange(1000.0).view(Watched)
    a = qdsim.from_dlpack(producer(x))
    view = a.numpy()
    del x, a
    gc.collect()
    assert not gone and view.sum() == 499500
    del view
    gc.collect()
    assert gone


def test_the_array_goes_before_its_source():
    x = np.arange(10.0)
    a = qdsim.asarray(x)
    a.numpy()[0] = 5
    del a
    gc.collect()
    assert x[0] == 5 and x.sum() == 50


def test_a_capsule_that_nobody_uses_gives_back():
    before = buffers()
    a = qdsim.zeros(10, device="cpu")
    for version in (None, (1, 0)):
        capsule = a.__dlpack__(max_version=version)
        assert ("dltensor_versioned" if version else '"dltensor"') in repr(capsule)
        del capsule
    capsule = a.__dlpack__()
    b = qdsim.from_dlpack(capsule)
    assert "used_dltensor" in repr(capsule)
    with pytest.raises(ValueError):
        qdsim.from_dlpack(capsule)
    del a, b, capsule
    assert buffers()["current"] == before["current"]


def test_the_deleter_runs_in_any_thread_without_the_lock_of_python():
    before = buffers()
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    rename = ctypes.pythonapi.PyCapsule_SetName
    rename.restype, rename.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
    used = b"used_dltensor"
    a = qdsim.zeros(100, device="cpu")
    tensors = []
    for _ in range(64):
        capsule = a.__dlpack__()
        tensors.append(pointer_of(capsule, b"dltensor"))
        rename(capsule, used)
    del a, capsule

    def end(mine):
        for tensor in mine:
            # data, device, axes, type, shape, strides, offset, owner, deleter; a CFUNCTYPE is called without the lock
            deleter = struct.unpack_from("Q", ctypes.string_at(tensor + 56, 8))[0]
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(deleter)(tensor)

    threads = [threading.Thread(target=end, args=(tensors[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buffers()["current"] == before["current"]


# --- access -----------------------------------------------------------------------------------------------------------


def test_read_only_arrays_allow_no_writing():
    a = qdsim.zeros(4, device="cpu")
    r = a.view(readonly=True)
    for seen in (r.numpy(), np.asarray(r), np.from_dlpack(r), a.numpy(readonly=True), qdsim.from_dlpack(r).numpy()):
        with pytest.raises(ValueError, match="read-only"):
            seen[0] = 1
    assert memoryview(r).readonly and r.__array_interface__["data"][1] is True
    with pytest.raises((BufferError, TypeError)):
        io.BytesIO(bytes(32)).readinto(r)
    with pytest.raises(BufferError, match="no read-only arrays"):
        r.__dlpack__()
    assert r.view().readonly
    del r, seen
    assert io.BytesIO(bytes(32)).readinto(a) == 32
    x = np.arange(4.0)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        qdsim.asarray(x).numpy()[0] = 1


def test_a_view_holds_the_memory_in_place(device):
    a = qdsim.zeros(1000, tag="held", device=device)
    view = a.numpy()
    with pytest.raises(qdsim.ArgumentError, match='"held".*acquired'):
        a.spill("file")
    view[5] = 2
    del view
    a.spill("file")
    assert a.places == ["file"]
    assert a.numpy(readonly=True)[5] == 2


def test_readers_forbid_a_writer_and_the_message_says_who():
    a = qdsim.zeros(4, tag="psi", device="cpu")
    reader = a.numpy(readonly=True)
    with pytest.raises(qdsim.ArgumentError, match=r'"psi" \(.*test_array.py:\d+\): it is being read \(1 borrowers\)'):
        a.numpy()
    with pytest.raises(qdsim.ArgumentError, match="being read"):
        np.asarray(a)
    also = a.numpy(readonly=True)
    del reader, also
    a.numpy()[0] = 1
    writer = a.numpy()
    assert a.numpy(readonly=True)[0] == 1
    del writer


def test_nothing_is_read_that_was_never_written():
    a = qdsim.empty(4, tag="psi", device="cpu")
    with pytest.raises(qdsim.ArgumentError, match="nothing was ever written to it; write to it first"):
        a.numpy(readonly=True)
    a.numpy()[:] = 1
    assert a.numpy(readonly=True).sum() == 4


def test_what_the_device_has_comes_back(device):
    a = qdsim.asarray(np.arange(1000.0), copy=True, device=device)
    a.prefetch("device")
    assert ("device" in a.places) == (device != "cpu")
    assert a.numpy(readonly=True).sum() == 499500


def test_memory_of_the_device_alone(device):
    if device == "cpu":
        with pytest.raises(qdsim.UnsupportedError, match="gpu_only needs a device"):
            qdsim.empty(4, strategy="gpu_only", device=device)
        return
    a = qdsim.asarray(np.arange(1000.0), copy=True, strategy="gpu_only", device=device)
    assert a.places == ["device"] and not hasattr(a, "__array_interface__")
    for look in (np.asarray, lambda a: a.numpy()):
        with pytest.raises(qdsim.UnsupportedError, match="gpu_only memory is not accessed on the host"):
            look(a)
    with pytest.raises(BufferError, match="gpu_only"):
        memoryview(a)
    assert a.__dlpack_device__() == ((2, 0) if device == "cuda" else (12, 0))
    back = qdsim.empty(1000, device=device)
    back.copy_from(a)
    assert back.numpy().sum() == 499500


def test_the_cuda_interface_is_there_only_on_cuda(device):
    a = qdsim.zeros(10, device=device)
    assert not hasattr(a, "__cuda_array_interface__")
    a.prefetch("device")
    assert hasattr(a, "__cuda_array_interface__") == (device == "cuda")


# --- DLPack -----------------------------------------------------------------------------------------------------------


def test_dlpack_arguments():
    a = qdsim.zeros((2, 3), device="cpu")
    assert a.__dlpack_device__() == (1, 0)
    mine = np.from_dlpack(a, copy=True)
    mine[:] = 1
    assert a.numpy().sum() == 0
    a.__dlpack__(dl_device=(1, 0), copy=False)
    with pytest.raises(BufferError, match="device"):
        a.__dlpack__(dl_device=(2, 0))
    with pytest.raises(qdsim.ArgumentError, match="stream"):
        a.__dlpack__(stream=1)


@pytest.mark.parametrize("strategy", ["adaptive", "cpu_only", "gpu_only", "unified"])
def test_arrays_of_every_strategy_are_copied_everywhere(strategy, device):
    """To each strategy of each device, and to another type."""
    if device == "cpu" and strategy == "gpu_only":
        pytest.skip("gpu_only needs a device")
    x = np.arange(1000.0).reshape(10, 100)
    a = qdsim.asarray(x, copy=True, strategy=strategy, device=device)
    for target in ("cpu", "sim", device):
        for other in ("adaptive", "cpu_only", "unified", *["gpu_only"] * (target != "cpu")):
            b = qdsim.asarray(a, copy=True, strategy=other, device=target)
            assert (b.strategy, b.device.split(":")[0]) == (other, target)
            np.testing.assert_array_equal(qdsim.asarray(b, copy=True, strategy="cpu_only", device=target).numpy(), x)
        single = qdsim.asarray(a, dtype="f4", device=target)
        assert single.dtype == np.float32 and single.device.startswith(target)
        np.testing.assert_array_equal(single.numpy(), x)
    with pytest.raises(qdsim.ArgumentError, match="without a copy"):
        qdsim.asarray(a, dtype="f4", copy=False)


def test_an_empty_array_of_the_device_is_copied():
    a = qdsim.zeros((0, 3), strategy="gpu_only", device="sim")
    assert qdsim.asarray(a, copy=True, device="cpu").shape == qdsim.asarray(a, dtype="f4", device="cpu").shape == (0, 3)


def test_arrays_with_gaps_are_refused_or_copied():
    x = np.arange(20.0).reshape(4, 5)
    for gaps in (x[:, ::2], x.T, x[::-1]):
        with pytest.raises(qdsim.ArgumentError, match="not contiguous: axis"):
            qdsim.from_dlpack(gaps)
        with pytest.raises(qdsim.ArgumentError, match="without a copy"):
            qdsim.asarray(gaps, copy=False)
        np.testing.assert_array_equal(qdsim.asarray(gaps).numpy(), gaps)
    part = x[1:3]
    assert qdsim.from_dlpack(part).numpy().ctypes.data == part.ctypes.data


def test_asarray_takes_what_numpy_takes():
    assert qdsim.asarray([[1, 2], [3, 4]]).numpy().tolist() == [[1, 2], [3, 4]]
    assert qdsim.asarray(range(3), dtype="float32").dtype == np.float32
    assert qdsim.asarray(memoryview(b"abc"), dtype="uint8").nbytes == 3
    assert qdsim.asarray(np.arange(3, dtype=">i4")).numpy().tolist() == [0, 1, 2]
    x = np.arange(3.0)
    assert qdsim.asarray(x, dtype="float32").dtype == np.float32
    single = x.astype("float32")
    assert qdsim.asarray(single, dtype="float64").dtype == np.float64 and qdsim.asarray(single).strategy is None
    with pytest.raises(qdsim.ArgumentError, match="dtype"):
        qdsim.asarray(["a", "b"])


def test_pytorch_shares_memory():
    torch = pytest.importorskip("torch", reason="no torch")
    a = qdsim.zeros((2, 3), np.float32, device="cpu")
    t = torch.from_dlpack(a)
    del a
    t[1, 2] = 5
    b = qdsim.from_dlpack(t)
    del t
    assert b.numpy()[1, 2] == 5
    with pytest.raises(qdsim.ArgumentError, match="type code 4"):
        qdsim.from_dlpack(torch.zeros(3, dtype=torch.bfloat16))


def test_the_place_can_be_chosen(device):
    a = qdsim.zeros(3, device=device)
    assert np.from_dlpack(a.on("host")).tolist() == [0, 0, 0]
    assert a.on("device").__dlpack_device__() == {"cpu": (1, 0), "sim": (12, 0), "cuda": (2, 0)}[device]
    with pytest.raises(qdsim.ArgumentError, match="did you mean 'host'"):
        a.on("hots")
    with pytest.raises(qdsim.UnsupportedError, match="another library's"):
        qdsim.asarray(np.zeros(3), device=device).prefetch("device")


def test_arrays_are_made_by_functions_only():
    with pytest.raises(TypeError, match="made by qdsim.empty"):
        qdsim.Array()
    with pytest.raises(TypeError):
        copy.copy(qdsim.zeros(3, device="cpu"))
    with pytest.raises(TypeError):
        pickle.dumps(qdsim.zeros(3, device="cpu"))


# --- errors -----------------------------------------------------------------------------------------------------------


def test_words_are_checked():
    with pytest.raises(qdsim.ArgumentError, match="did you mean 'adaptive'"):
        qdsim.empty(3, strategy="adaptiv")
    with pytest.raises(qdsim.ArgumentError, match="did you mean 'float64'"):
        qdsim.empty(3, "flot64")
    with pytest.raises(qdsim.ArgumentError, match="did you mean 'device'"):
        qdsim.zeros(3, device="cpu").prefetch("devise")
    for dtype in ("U4", "datetime64[s]", "O", ">f8", [("x", "f8")], np.longdouble):
        with pytest.raises(qdsim.ArgumentError, match="dtype: unknown"):
            qdsim.empty(3, dtype)


@pytest.mark.parametrize("shape, text", [(-1, "shape: -1"), ((2, 2.5), "no sequence of integers"), (2**63, "are allowed"),
                                         ((2**40, 2**40), "address range"), ((1,) * 65, "65 axes"), ("ab", "integers")])
def test_shapes_are_checked(shape, text):
    """Fault 64: a product of extents that overflows."""
    with pytest.raises(qdsim.ArgumentError, match=text):
        qdsim.empty(shape, device="cpu")


def test_what_is_still_held_is_listed_with_its_line():
    """A view that was forgotten: the array has gone, its memory has not."""
    line = test_what_is_still_held_is_listed_with_its_line.__code__.co_firstlineno + 3
    forgotten = qdsim.zeros(10, tag="forgotten", strategy="cpu_only", device="cpu").numpy()
    row = {"tag": "forgotten", "bytes": 80, "strategy": "cpu_only", "source": f"{__file__}:{line}"}
    assert qdsim.memory_stats("cpu")["arrays"].count(row) == 1
    del forgotten
    gc.collect()
    assert row not in qdsim.memory_stats("cpu")["arrays"]


SOURCES = """
import json, numpy, qdsim
x, cpu = numpy.arange(3.0), {"device": "cpu"}
made = [qdsim.empty(3, **cpu), qdsim.zeros(3, **cpu), qdsim.asarray([1.0], **cpu), qdsim.from_dlpack(x, **cpu)]
print(json.dumps([__file__] + [row["source"] for row in qdsim.memory_stats("cpu")["arrays"]] + [made[1].source]))
"""


@pytest.mark.parametrize("name", [b"plain", b"d\xff", "d\u00e9 %41".encode(), b"file:%41", b"100 %"])
def test_a_script_has_the_name_that_python_gives_it(name, tmp_path):
    """In a folder whose name need not be UTF-8."""
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    with open(os.path.join(folder, b"script.py"), "w") as script:
        script.write(SOURCES)
    path = os.path.join(name, b"script.py")
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    file, *sources = json.loads(done.stdout)
    assert os.fsencode(file).endswith(path)
    assert sources == [f"{file}:4"] * 5


def test_peaks_stay_when_memory_goes():
    """Fault 63: counters that never decrease, so that the peak is the total."""
    for turn in range(3):
        a = qdsim.zeros(100_000, tag="peak", device="cpu")
        del a
    gc.collect()
    count = qdsim.memory_stats("cpu")["buffers"]["tags"]["peak"]["host"]
    assert count == {"current_bytes": 0, "peak_bytes": 800_000, "current_blocks": 0, "total_blocks": 3}


def test_a_million_elements_are_compared_at_once():
    """Fault 71: a loop of Python over fields that Python cannot see."""
    a = qdsim.empty(1_000_000, np.complex128, device="cpu")
    expected = np.arange(1_000_000) * (1 + 1j)
    a.numpy()[:] = expected
    assert (np.from_dlpack(a) == expected).all()
    assert core.Memory is not qdsim.Array and not hasattr(a, "handle")
