cimport cython

from qdsim._core.capi cimport qds_context, qds_memory_profile, qds_status


@cython.final
cdef class Context:
    cdef object __weakref__
    cdef qds_context *handle
    cdef object report      # the caller's progress function of the running call, or None
    cdef object stopped_by  # the exception that stopped the running call, or None
    cdef bint busy

    cdef int begin(self, object report) except -1
    cdef int finish(self, qds_status status) except -1


@cython.final
cdef class Texts:
    cdef list kept
    cdef const char **data


cdef int check(qds_status status) except -1
cdef bytes c_text(text)
cdef bytes take_bytes(char *text)
cdef str take_text(char *text)
cdef qds_memory_profile *watch(qds_context *base, double interval_s) except NULL
cdef void unwatch(qds_memory_profile *profile)
