"""Users of a context's device pool."""

cimport cython
from libc.stdint cimport uintptr_t

from qdsim._core.capi cimport *
from qdsim._core.context cimport Context, check
from qdsim._core.context import exceptions

cdef extern from "dlfcn.h":
    ctypedef struct Dl_info:
        const char *dli_fname
    int dladdr(const void *address, Dl_info *info)


@cython.final
@cython.no_gc_clear  # the context must outlive the pool
cdef class Pool:
    """The device pool of a context as one user of it sees it, ordered by one stream: a native handle, as an int, or None for
    that of the context's own work."""

    cdef Context context
    cdef qds_device_pool *handle

    def __cinit__(self, Context context not None, stream, str library not None):
        cdef const char *tag = b"device pool"
        cdef void *native = qds_context_native_stream(context.handle) if stream is None else <void *><uintptr_t>stream
        if library == "cupy":
            tag = b"CuPy"
        elif library == "torch":
            tag = b"PyTorch"
        self.context = context
        check(qds_device_pool_create(context.handle, native, tag, &self.handle))

    def __dealloc__(self):
        qds_device_pool_destroy(self.handle)

    @property
    def address(self):
        """What qds_device_pool_malloc and qds_device_pool_free take first."""
        return <uintptr_t>self.handle

    def install(self):
        """Lets PyTorch's functions use this pool."""
        check(qds_device_pool_install(self.handle))

    def set_slack(self, double slack):
        """How much the context's pool may hold over the most that was used at once."""
        check(qds_device_pool_set_slack(self.handle, slack))

    def trim(self):
        cdef qds_status status
        with nogil:
            status = qds_device_pool_trim(self.handle)
        check(status)

    def read(self):
        """Used and reserved bytes, now and at their peaks."""
        cdef qds_device_pool_statistics s
        qds_device_pool_read(self.handle, &s)
        return s.used_bytes, s.peak_used_bytes, s.reserved_bytes, s.peak_reserved_bytes


malloc_address = <uintptr_t>&qds_device_pool_malloc
free_address = <uintptr_t>&qds_device_pool_free


def library():
    """The path of libqdsim as it was loaded, in bytes."""
    cdef Dl_info info
    if not dladdr(<const void *>&qds_device_pool_malloc, &info):
        raise exceptions[<int>QDS_ERROR_UNSUPPORTED]("the loader does not tell where libqdsim is")
    return <bytes>info.dli_fname
