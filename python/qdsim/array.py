"""Arrays in memory of the library, shared with NumPy, CuPy, PyTorch and others without copies."""

import json
import math
import operator
import sys
from urllib.parse import quote, unquote

import numpy as np

from . import checks
from ._core import array as _core
from .device import shared_context
from .errors import ArgumentError, UnsupportedError, unknown_word

# How DLPack numbers the memory of GPUs: their own, managed.
_CUDA, _MANAGED = 2, 13
_HOST, _DEVICE = _core.places.index("host"), _core.places.index("device")


class Array(_core.Memory):
    """An array in memory of the library, or a look at memory of another one; made by qdsim.empty, zeros, asarray and
    from_dlpack.

    Whoever looks into it, through NumPy, DLPack or the buffer protocol, holds it where it is until the last of them is
    gone: several who read, or those who may write on one side. Elements lie without gaps, the last axis fastest.

    shape, dtype, ndim, size, nbytes, readonly
    strategy    "cpu_only", "gpu_only", "unified" or "adaptive"; None: memory of another library
    tag         what it is listed under in qdsim.memory_stats; None: memory of another library
    source      the line that made it, as "script.py:12"
    places      where its contents are valid: "host", "pinned", "device", "unified", "file"
    device      "cpu", "cuda:0" or "sim:0"
    """

    __slots__ = ()

    def __init_subclass__(cls):
        raise TypeError("qdsim.Array: no other class can derive from it, because only functions make arrays")

    @property
    def dtype(self):
        return np.dtype(self.kind)

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return math.prod(self.shape)

    @property
    def device(self):
        return self.context.device

    @property
    def strategy(self):
        return (self.about() or {}).get("strategy")

    @property
    def tag(self):
        return (self.about() or {}).get("tag")

    @property
    def source(self):
        about = self.about()
        return about and _source(about)

    @property
    def places(self):
        return (self.about() or {}).get("places", [self.home])

    def __repr__(self):
        about = f"strategy={self.strategy!r}, tag={self.tag!r}" if self.strategy else "memory of another library"
        return f"<qdsim.Array {self.shape} {self.dtype}, {about}, on {self.device}{', read-only' * self.readonly}>"

    def view(self, readonly=False):
        """Another Array over the same memory. Through a read-only one nobody may write."""
        return self.another(readonly)

    def prefetch(self, place):
        """Starts to bring the contents to "host", "pinned" or "device", and does not wait for it."""
        self.prefetch_to(_place(place))

    def spill(self, place):
        """Moves the contents to a slower place: "pinned", "host" or "file". They come back when they are used."""
        self.spill_to(_place(place))

    # --- to other libraries -------------------------------------------------------------------------------------------

    def numpy(self, readonly=False):
        """A NumPy array over the same memory."""
        try:
            return np.asarray(memoryview(self.view(readonly=True) if readonly else self))
        except BufferError as error:
            raise error.__cause__ or error from None

    def cupy(self):
        """A CuPy array over the same memory."""
        if not self._is_on_gpu():
            raise UnsupportedError(f"the array can be used on {self.device}, and CuPy works on NVIDIA GPUs; make one with "
                                   "qdsim.asarray(x, copy=True, device=\"cuda\")")
        import cupy

        return cupy.from_dlpack(self.on("device"))

    def _is_on_gpu(self):
        """Whether the device of the array is one of NVIDIA's."""
        return self.device_at(_DEVICE)[0] in (_CUDA, _MANAGED)

    def on(self, place):
        """The array on the "host" or the "device", for from_dlpack of other libraries, which else find it at home: where
        it is used most."""
        if place not in ("host", "device"):
            raise unknown_word("place", place, ["host", "device"])
        return _On(self, _core.places.index(place))

    # NumPy asks for this where the buffer protocol has failed, and would make an array of one object without it.
    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ValueError(f"{array.dtype} cannot be looked at as {np.dtype(dtype)}; allow a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    @property
    def __array_interface__(self):
        if not self._is_at(_HOST):
            raise AttributeError("__array_interface__: the host cannot look into this array")
        return {"version": 3, "shape": self.shape, "typestr": self.dtype.str, "strides": None,
                "data": (self.pin(_HOST), self.readonly)}

    @property
    def __cuda_array_interface__(self):
        """Version 3. There is none unless the contents are on a GPU."""
        if not self._is_at(_DEVICE) or not self._is_on_gpu():
            raise AttributeError("__cuda_array_interface__: the array is not on a CUDA device; prefetch it, or use cupy()")
        pointer = self.pin(_DEVICE) if self.nbytes else 0
        return {"version": 3, "shape": self.shape, "typestr": self.dtype.str, "strides": None,
                "data": (pointer, self.readonly), "stream": None}

    def _is_at(self, place):
        """Whether the array can be looked at there: on the host unless it lives on the device, on the device if it is
        there now."""
        about = self.about()
        if about is None:
            return self.home == _core.places[place] or self.device_at(place)[0] == _MANAGED
        if place == _HOST:
            return about["strategy"] != "gpu_only"
        return about["strategy"] == "gpu_only" or bool({"device", "unified"} & set(about["places"]))

    def __dlpack_device__(self):
        return self.device_at(_core.places.index(self.home))

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """See the Python array API. `stream` may be any, because the contents are there when this returns."""
        place = _core.places.index(self.home) if dl_device is None else self._place_of(dl_device)
        _check_stream(stream, self.device_at(place)[0])
        if copy:
            return self._copy(place).capsule(place, _versioned(max_version), True)
        if copy is False and not self._is_at(place):
            raise BufferError(f"the array is not on the {_core.places[place]} without a copy")
        if self.readonly and not _versioned(max_version):
            raise BufferError("DLPack before version 1.0 has no read-only arrays: ask with max_version=(1, 0), or copy")
        return self.capsule(place, _versioned(max_version), False)

    def _place_of(self, dl_device):
        try:
            wanted = tuple(map(int, dl_device))
        except (TypeError, ValueError):
            raise ArgumentError(f"dl_device: {dl_device!r} is no pair of a device's type and number") from None
        home = _core.places.index(self.home)  # first: memory of another library is nowhere else
        for place in (home, _HOST, _DEVICE):
            if self.device_at(place) == wanted:
                return place
        raise BufferError(f"the array cannot be handed over on DLPack's device {wanted}")

    def _for_host(self):
        """Itself, or a copy that the host can look into."""
        return self if self._is_at(_HOST) else self._copy(_HOST)

    def _copy(self, place):
        strategy = "gpu_only" if place == _DEVICE and self.device != "cpu" else "cpu_only"
        array = _create(type(self), self.context, self.shape, self.dtype, strategy, self.tag or "copy")
        array.copy_from(self)
        return array


class _On:
    """An array as it is at one place, for libraries that ask without saying where."""

    def __init__(self, array, place):
        self._array, self._device = array, array.device_at(place)

    def __dlpack_device__(self):
        return self._device

    def __dlpack__(self, **arguments):
        return self._array.__dlpack__(**arguments | {"dl_device": self._device})


# --- making arrays ----------------------------------------------------------------------------------------------------


def empty(shape, dtype=np.float64, *, strategy="adaptive", tag="array", device="auto"):
    """A new Array whose contents are undefined until they are written.

    strategy  "adaptive": copies where it is used; "cpu_only", "gpu_only"; "unified": one address for both sides
    tag       what it is listed under in qdsim.memory_stats
    device    what it can be used on besides the host: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:N", "sim" or "sim:N"
    """
    return _create(Array, shared_context(device), _shape(shape), _dtype(dtype), strategy, tag)


def zeros(shape, dtype=np.float64, *, strategy="adaptive", tag="array", device="auto"):
    """A new Array of zeros; the arguments are those of qdsim.empty."""
    array = _create(Array, shared_context(device), _shape(shape), _dtype(dtype), strategy, tag)
    array.clear()
    return array


def asarray(x, dtype=None, *, copy=None, strategy="adaptive", tag="array", device="auto"):
    """x as an Array: x itself, a look at its memory where that is possible, or else a copy.

    x      an Array, an array of another library, or what numpy.asarray takes
    dtype  the type of its elements; None: that of x
    copy   True: always a copy; False: never one (an error instead); None: where it is needed
    strategy, tag, device  those of a copy
    """
    if copy not in (None, True, False):
        raise ArgumentError(f"copy: {copy!r}; None, True and False are allowed")
    looked = _look(x, dtype, device)
    if looked is not None and not copy:
        return looked
    if copy is False:
        raise ArgumentError("asarray: this cannot be looked at without a copy; allow one, or hand over a contiguous "
                            "array of that type")
    source = looked if looked is not None else _without_gaps(x, dtype)
    context = shared_context(device)
    if source.context is not context:  # two devices meet on the host
        source = source._for_host()
    array = _create(Array, context, source.shape, source.dtype, strategy, tag)
    array.copy_from(source)
    return array


def from_dlpack(x, *, device="auto"):
    """An Array over the memory of an object with __dlpack__ (NumPy, CuPy, PyTorch, ...), which is kept alive, or of a
    capsule. `device` says what it can be used on besides the host, as in qdsim.empty; what lies on a GPU stays there."""
    if not hasattr(x, "__dlpack__"):
        if type(x).__name__ != "PyCapsule":
            raise ArgumentError(f"from_dlpack: {type(x).__name__} objects have no __dlpack__")
        return Array.adopt(shared_context(device), x, *_caller())
    kind, number = x.__dlpack_device__()
    arguments = {}
    if kind in (_CUDA, _MANAGED):
        device = f"cuda:{int(number)}"
        arguments["stream"] = 1  # the default stream, for which the library waits
    context = shared_context(device)
    try:
        capsule = x.__dlpack__(max_version=(1, 0), **arguments)
    except TypeError:  # it knows no versions
        capsule = x.__dlpack__(**arguments)
    return Array.adopt(context, capsule, *_caller())


def memory_stats(device="auto"):
    """What the library holds for the arrays of a device, as a dict of dicts: "host" (its account of host memory, by tag),
    "buffers" (by place and tag, and what Python owns), "spills", "moved_bytes" by (from, to), "files", and "arrays": what
    is held now, the newest first, each with the line that made it."""
    context = shared_context(device)
    arrays = [{"tag": each["tag"], "bytes": each["bytes"], "strategy": each["strategy"],
               "source": _source(each)}
              for each in json.loads(_core.buffers(context)) if each["references"]["python"]]
    return _core.statistics(context) | {"arrays": arrays}


def _create(kind, context, shape, dtype, strategy, tag):
    if strategy not in _core.strategies:
        raise unknown_word("strategy", strategy, _core.strategies)
    checks.text("tag", tag)
    if len(shape) > _core.most_axes:
        raise ArgumentError(f"shape: {len(shape)} axes; 0 to {_core.most_axes} are allowed")
    return kind.create(context, shape, dtype.kind, dtype.itemsize, _core.strategies.index(strategy), tag, *_caller())


# Texts of the library are UTF-8, and names of files need not be: Python keeps other bytes as surrogates. Such a name goes into
# the library as a URI, and so does one that could be taken for it.
_URI = "file:"


def _caller():
    """File and line outside the package that called into it."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame = frame.f_back
    name = frame.f_code.co_filename
    if name.startswith(_URI) or name.encode(errors="ignore").decode() != name:
        name = _URI + quote(name, errors="surrogateescape")
    return name, frame.f_lineno


def _source(row):
    """File and line of a row of the library, the file as Python spells it."""
    name = row["file"]
    if name.startswith(_URI):
        name = unquote(name[len(_URI):], errors="surrogateescape")
    return f"{name}:{row['line']}"


def _shape(shape):
    try:
        extents = (operator.index(shape),) if not hasattr(shape, "__iter__") else tuple(map(operator.index, shape))
    except TypeError:
        raise ArgumentError(f"shape: {shape!r} is no integer and no sequence of integers") from None
    for extent in extents:
        if not 0 <= extent < 2**63:
            raise ArgumentError(f"shape: {extent} in {shape!r}; 0 to {2**63 - 1} are allowed")
    return extents


def _dtype(dtype):
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise _unknown_dtype(dtype) from None
    if f"{found.kind}{found.itemsize}" not in _core.formats or not found.isnative:
        raise _unknown_dtype(found)
    return found


def _unknown_dtype(dtype):
    allowed = [str(np.dtype(each)) for each in _core.formats]
    return unknown_word("dtype", dtype, allowed)


def _place(place):
    if place not in _core.places:
        raise unknown_word("place", place, [each for each in _core.places if each != "unified"])
    return _core.places.index(place)


def _look(x, dtype, device):
    """x as an Array without a copy, or None."""
    wanted = None if dtype is None else _dtype(dtype)
    if not hasattr(x, "__dlpack__"):
        return None
    try:
        looked = x if isinstance(x, Array) else from_dlpack(x, device=device)
    except (ArgumentError, BufferError):  # not contiguous, or of a type that has no place here: the copy will say
        return None
    return looked if wanted is None or wanted == looked.dtype else None


def _without_gaps(x, dtype):
    """A contiguous array of that type as an Array, which keeps it alive: where x is, or on the host."""
    library = type(x).__module__.partition(".")[0]
    try:
        if library == "cupy":
            return from_dlpack(sys.modules[library].ascontiguousarray(x, dtype=dtype))
        if library == "torch" and x.is_cuda:
            wanted = x.dtype if dtype is None else getattr(sys.modules[library], _dtype(dtype).name)
            return from_dlpack(x.to(wanted).contiguous())
        array = np.asarray(x._for_host() if isinstance(x, Array) else x, dtype=dtype)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:  # what the libraries say of what they cannot copy
        raise ArgumentError(f"asarray: {type(x).__name__} object that cannot be copied: {error}") from error
    array = np.ascontiguousarray(array, dtype=_dtype(array.dtype.newbyteorder("="))).reshape(array.shape)
    if not array.flags.writeable:
        array = array.copy()
    return from_dlpack(array, device="cpu")


def _versioned(max_version):
    try:
        return max_version is not None and operator.index(max_version[0]) >= 1
    except (TypeError, IndexError):
        raise ArgumentError(f"max_version: {max_version!r}; None, or a pair such as (1, 0), is allowed") from None


def _check_stream(stream, kind):
    if kind not in (_CUDA, _MANAGED):
        if stream is not None and stream != -1:
            raise ArgumentError(f"stream: {stream!r}; outside a GPU only None is allowed")
    elif stream is not None and (not isinstance(stream, int) or stream < -1 or stream == 0):
        raise ArgumentError(f"stream: {stream!r}; None, -1, 1, 2 or a CUDA stream's address are allowed")
