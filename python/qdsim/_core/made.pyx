"""Objects that hold a handle of the library, and are never without it.

Either __cinit__ takes the handle or raises, or the class derives from Made. All are final but for the base of qdsim.Array: the
__del__ of a derived class would run for an object that was refused, too.
"""

# What `make` hands to __new__; Python code cannot get hold of it.
cdef object key = object()


cdef class Made:
    """The base of classes whose objects come from functions. __new__, which Python calls in many ways, would make an object
    without a handle, so it refuses all but `make`. A class that derives from this one says in `made_by` what makes it."""

    made_by = None

    def __cinit__(self, *arguments, **keywords):
        if len(arguments) != 1 or arguments[0] is not key:
            raise TypeError(f"{type(self).__name__}: made by {self.made_by}")


cdef object make(kind):
    """An object of a class derived from Made, for the caller to put the handle in."""
    return kind.__new__(kind, key)
