cdef class Made:
    pass


cdef object make(kind)
