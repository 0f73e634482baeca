"""The timeline of what all contexts of this process hold."""

cimport cython

from qdsim._core.capi cimport *
from qdsim._core.context cimport Context, check, c_text, unwatch, watch


@cython.final
@cython.no_gc_clear  # the context must outlive the profile
cdef class Profile:
    """A thread of the library that looks at the contexts until it is stopped. `base` holds the profile's own memory."""

    cdef Context base
    cdef qds_memory_profile *handle

    def __cinit__(self, Context base not None, double interval_s):
        self.base = base
        self.handle = watch(base.handle, interval_s)

    def __dealloc__(self):
        unwatch(self.handle)
        with nogil:
            qds_memory_profile_destroy(self.handle)

    def stop(self):
        """Takes a last sample; doing so twice is fine."""
        unwatch(self.handle)

    def samples(self):
        """Seconds, and (name, bytes) of each series: both as the bytes of doubles."""
        cdef const double *values = NULL
        cdef const char *name = NULL
        cdef Py_ssize_t size = sizeof(double) * qds_memory_profile_samples(self.handle, &values)
        seconds = <bytes>(<const char *>values)[:size]
        series = []
        while True:
            name = qds_memory_profile_series(self.handle, len(series), &values)
            if name == NULL:
                return seconds, series
            series.append((name.decode("utf-8", "replace"), <bytes>(<const char *>values)[:size]))

    def write(self, bytes path not None):
        cdef bytes path_bytes = c_text(path)
        cdef const char *path_text = path_bytes
        cdef qds_status status
        with nogil:
            status = qds_memory_profile_write(self.handle, path_text)
        check(status)
