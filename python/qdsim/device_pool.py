"""GPU memory of CuPy and PyTorch from qdsim's device pool."""

import ctypes
import os
from typing import NamedTuple

from . import checks
from ._core import context as _context, pool as _core
from ._core.context import Context
from .device import byte_count
from .errors import OutOfMemoryError


class PoolStatistics(NamedTuple):
    """Bytes that users of a pool hold, and that the pool holds of the device."""

    used: int
    peak_used: int
    reserved: int
    peak_reserved: int


class DevicePool:
    """A pool of GPU memory for other libraries.

    device        "cuda" or "cuda:N"; for tests "sim" or "sim:N"
    memory_limit  the most that the pool may hold of the GPU, in bytes or as text such as "20GiB"; None: what there is
    slack         how much it may hold over the most that was used at once: 1 or more. The default keeps memory for others,
                  but takes time for blocks of hundreds of MiB and more; float("inf") is the fastest

        pool = qdsim.DevicePool(memory_limit="20GiB")
        pool.use_in_cupy()
        pool.use_in_pytorch()      # before PyTorch has used the GPU

    A block that is given back serves the next request on the same stream at once; another stream waits on the GPU for the
    work that used it before. Once a library has been given the pool, the pool stays until the process ends.
    """

    def __init__(self, device="cuda", memory_limit=None, slack=1.15):
        limit = 0 if memory_limit is None else byte_count(memory_limit)
        self._context = Context(threads=1, device=checks.device_name(device), device_memory_limit=limit)
        self._pool = _core.Pool(self._context, None, "")
        self._pool.set_slack(checks.real_number("slack", slack))
        self._allocators = {}
        self._kept = False

    def use_in_cupy(self):
        """Lets CuPy take its memory from this pool from now on, in all threads of the process."""
        import cupy

        cupy.cuda.set_allocator(self.cupy_malloc)

    def cupy_malloc(self, size):
        """An allocator for cupy.cuda.set_allocator and cupy.cuda.using_allocator. The block is ordered by CuPy's current
        stream: it is meant for work on that stream, or for work that waits for it, as with CuPy's own pool."""
        import cupy

        stream = cupy.cuda.get_current_stream()
        found = self._allocators.get(stream.ptr)
        if found is None:
            found = self._allocators[stream.ptr] = self._make_allocator(cupy, stream)
        pointer = found[0](size)
        if pointer.ptr == 0 and size > 0:
            raise OutOfMemoryError(_context.last_message())
        return pointer

    def _make_allocator(self, cupy, stream):
        """CuPy's allocator for a stream, with what must live as long: the stream's handle must not be used again."""
        self._keep()
        pool = _core.Pool(self._context, stream.ptr, "cupy")
        allocator = cupy.cuda.CFunctionAllocator(pool.address, _core.malloc_address, _core.free_address, pool)
        return allocator.malloc, stream, pool

    def use_in_pytorch(self):
        """Lets PyTorch take its GPU memory from this pool. PyTorch allows that once, before it has used the GPU; one pool
        can be installed in a process. Where there is no room PyTorch raises RuntimeError with the pool's message."""
        import torch

        pool = _core.Pool(self._context, None, "torch")
        pool.install()
        self._keep()
        self._torch_pool = pool
        allocator = torch.cuda.memory.CUDAPluggableAllocator(os.fsdecode(_core.library()), "qds_torch_malloc", "qds_torch_free")
        torch.cuda.memory.change_current_allocator(allocator)

    def trim(self):
        """Gives memory that no block holds back to the GPU; waits for the work that may still use it."""
        self._pool.trim()

    def statistics(self):
        return PoolStatistics(*self._pool.read())

    def _keep(self):
        """CuPy's and PyTorch's blocks hold no reference to where they came from, and some are given back after Python has
        taken its modules apart."""
        if not self._kept:
            self._kept = True
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
