"""Arrays over the library's buffers: the buffer protocol and DLPack."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_F_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New, PyCapsule_SetName

from qdsim._core.capi cimport *
from qdsim._core.context cimport Context, c_text, check, take_text
from qdsim._core.context import exceptions
from qdsim._core.made cimport Made, make

strategies = [qds_mem_strategy_name(<qds_mem_strategy>i).decode() for i in range(QDS_MEM_STRATEGIES)]
places = [qds_place_name(<qds_place>i).decode() for i in range(<int>QDS_PLACES)]
# NumPy's letter of each kind of number.
elements = {"i": QDS_ELEMENT_INT, "u": QDS_ELEMENT_UINT, "f": QDS_ELEMENT_FLOAT, "c": QDS_ELEMENT_COMPLEX,
            "b": QDS_ELEMENT_BOOL}
most_axes = QDS_ARRAY_AXES

cdef const char *PLAIN = b"dltensor"
cdef const char *VERSIONED = b"dltensor_versioned"


cdef class Memory(Made):
    """An array's memory, shape and type, as other libraries see them."""

    made_by = "qdsim.empty, zeros, asarray and from_dlpack"

    cdef readonly Context context
    cdef readonly tuple shape
    cdef readonly str kind      # NumPy's letter and the bytes of one element: "f8"
    cdef readonly bint readonly
    cdef qds_array *handle
    cdef bytes format
    cdef Py_ssize_t bytes, itemsize
    cdef bint pinned[5]         # places borrowed for as long as this object lives
    cdef Py_ssize_t extents[64]
    cdef Py_ssize_t strides[64]

    def __dealloc__(self):
        cdef int place
        if self.handle == NULL:
            return
        with nogil:
            for place in range(<int>QDS_PLACES):
                if self.pinned[place]:
                    qds_array_return(self.handle, <qds_place>place)
            qds_array_drop(self.handle)

    cdef int take(self, Context context, qds_array *handle, bytes format, bint readonly) except -1:
        """Takes over a reference to an array."""
        cdef qds_array_info info
        cdef Py_ssize_t stride
        cdef int i
        self.handle = handle
        self.context = context
        qds_array_get_info(handle, &info)
        self.shape = tuple([info.form.shape[i] for i in range(info.form.axes)])
        letter = next(letter for letter, element in elements.items() if element == info.form.element)
        self.kind = f"{letter}{info.form.bits // 8}"
        self.format = format if format is not None else formats[self.kind]
        self.readonly = readonly or info.readonly
        self.bytes = info.bytes
        self.itemsize = stride = info.form.bits // 8
        for i in reversed(range(info.form.axes)):
            self.extents[i] = info.form.shape[i]
            self.strides[i] = stride
            if info.bytes:
                stride *= self.extents[i]
        return 0

    @classmethod
    def create(cls, Context context not None, tuple shape not None, str letter not None, int itemsize, int strategy,
               str tag not None, str file not None, int line):
        cdef Memory memory = make(cls)
        cdef qds_array *handle = NULL
        cdef qds_array_form form
        cdef bytes tag_bytes = c_text(tag), file_bytes = c_text(file)
        cdef const char *tag_text = tag_bytes
        cdef const char *file_text = file_bytes
        cdef qds_status status
        form.element = elements[letter]
        form.bits = 8 * itemsize
        form.axes = <int>len(shape)
        for i in range(min(len(shape), QDS_ARRAY_AXES)):
            form.shape[i] = shape[i]
        with nogil:
            status = qds_array_create_at(context.handle, &form, <qds_mem_strategy>strategy, tag_text, file_text, line,
                                         &handle)
        check(status)
        memory.take(context, handle, None, False)
        return memory

    @classmethod
    def adopt(cls, Context context not None, capsule, str file not None, int line):
        """An array over what a DLPack capsule holds; the capsule is used up."""
        cdef Memory memory = make(cls)
        cdef bytes file_bytes = c_text(file)
        cdef const char *file_text = file_bytes
        cdef bint versioned = PyCapsule_IsValid(capsule, VERSIONED)
        if not versioned and not PyCapsule_IsValid(capsule, PLAIN):
            raise exceptions[<int>QDS_ERROR_ARGUMENT](
                f"from_dlpack: {capsule!r} holds no array: it was used before, or is none of DLPack's")
        cdef void *tensor = PyCapsule_GetPointer(capsule, VERSIONED if versioned else PLAIN)
        cdef qds_array *handle = NULL
        cdef qds_status status
        with nogil:
            status = qds_array_import_at(context.handle, tensor, versioned, file_text, line, &handle)
        check(status)
        PyCapsule_SetName(capsule, b"used_dltensor_versioned" if versioned else b"used_dltensor")
        memory.take(context, handle, None, False)
        return memory

    def another(self, bint readonly):
        """Another object over the same memory."""
        cdef Memory memory = make(type(self))
        qds_array_retain(self.handle)
        memory.take(self.context, self.handle, self.format, readonly or self.readonly)
        return memory

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def nbytes(self):
        return self.bytes

    @property
    def home(self):
        """The place where it is used most: "host" or "device"."""
        cdef qds_array_info info
        qds_array_get_info(self.handle, &info)
        return places[<int>info.home]

    def about(self):
        """Strategy, tag, file and line that made it, and places with valid contents; None for the memory of another library."""
        cdef qds_array_info info
        cdef qds_buffer_info b
        cdef int i
        qds_array_get_info(self.handle, &info)
        if info.buffer == NULL:
            return None
        with nogil:
            qds_buffer_get_info(info.buffer, &b)
        return {"strategy": strategies[<int>b.strategy], "tag": b.tag.decode("utf-8", "replace"),
                "file": b.file.decode("utf-8", "replace"), "line": b.line,
                "places": [places[i] for i in range(<int>QDS_PLACES) if b.valid[i]]}

    # --- contents -------------------------------------------------------------------------------------------------

    cdef qds_buffer *buffer(self) except NULL:
        cdef qds_array_info info
        qds_array_get_info(self.handle, &info)
        if info.buffer == NULL:
            raise exceptions[<int>QDS_ERROR_UNSUPPORTED]("the memory is another library's, and stays where it is")
        return info.buffer

    def clear(self):
        cdef qds_buffer *buffer = self.buffer()
        cdef qds_status status
        with nogil:
            status = qds_buffer_fill(buffer, 0, NULL)
        check(status)

    def copy_from(self, Memory other not None):
        cdef qds_status status
        with nogil:
            status = qds_array_copy(self.handle, other.handle)
        check(status)

    def prefetch_to(self, int place):
        cdef qds_buffer *buffer = self.buffer()
        cdef qds_status status
        with nogil:
            status = qds_buffer_prefetch(buffer, <qds_place>place, NULL)
        check(status)

    def spill_to(self, int place):
        cdef qds_buffer *buffer = self.buffer()
        cdef qds_status status
        with nogil:
            status = qds_buffer_spill(buffer, <qds_place>place)
        check(status)

    cdef void *borrow(self, int place, bint writes) except? NULL:
        cdef void *pointer = NULL
        cdef qds_status status
        with nogil:
            status = qds_array_borrow(self.handle, <qds_place>place, writes, &pointer)
        check(status)
        return pointer

    def pin(self, int place):
        """The address at `place`, where the memory stays as long as this object lives."""
        cdef void *pointer = self.borrow(place, not self.readonly)
        if self.pinned[place]:
            with nogil:
                qds_array_return(self.handle, <qds_place>place)
        self.pinned[place] = True
        return <size_t>pointer

    # --- the buffer protocol --------------------------------------------------------------------------------------

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef void *pointer
        if flags & PyBUF_WRITABLE and self.readonly:
            raise BufferError("the array is read-only")
        if (flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS and len(self.shape) > 1:
            raise BufferError("the last axis of the array is the fastest, not the first")
        try:
            pointer = self.borrow(QDS_PLACE_HOST, not self.readonly)
        except Exception as error:
            raise BufferError(str(error)) from error
        view.obj = self
        view.buf = pointer
        view.len = self.bytes
        view.itemsize = self.itemsize
        view.readonly = self.readonly
        view.ndim = <int>len(self.shape)
        view.format = <char *>self.format if flags & PyBUF_FORMAT else NULL
        view.shape = self.extents if flags & PyBUF_ND else NULL
        view.strides = self.strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL

    def __releasebuffer__(self, Py_buffer *view):
        with nogil:
            qds_array_return(self.handle, QDS_PLACE_HOST)

    # --- DLPack ---------------------------------------------------------------------------------------------------

    def device_at(self, int place):
        """DLPack's type and number of the device where `place` is."""
        cdef int type_, number
        qds_array_location(self.handle, <qds_place>place, &type_, &number)
        return type_, number

    def capsule(self, int place, bint versioned, bint copied):
        cdef int flags = 0
        cdef void *tensor = NULL
        cdef qds_status status
        if self.readonly:
            flags |= QDS_DLPACK_READ_ONLY
        if versioned:
            flags |= QDS_DLPACK_VERSIONED
        if copied:
            flags |= QDS_DLPACK_IS_COPIED
        with nogil:
            status = qds_array_export(self.handle, <qds_place>place, flags, &tensor)
        check(status)
        try:
            return PyCapsule_New(tensor, VERSIONED if versioned else PLAIN, dispose_unused)
        except BaseException:
            qds_dlpack_dispose(tensor, versioned)
            raise


cdef void dispose_unused(object capsule) noexcept:
    """A capsule that nobody has used up owns its struct."""
    cdef bint versioned = PyCapsule_IsValid(capsule, VERSIONED)
    cdef void *tensor
    if not versioned and not PyCapsule_IsValid(capsule, PLAIN):
        return
    tensor = PyCapsule_GetPointer(capsule, VERSIONED if versioned else PLAIN)
    with nogil:
        qds_dlpack_dispose(tensor, versioned)


# How the buffer protocol writes the types: as NumPy does.
formats = {"b1": b"?", "i1": b"b", "i2": b"h", "i4": b"i", "i8": b"l", "u1": b"B", "u2": b"H", "u4": b"I", "u8": b"L",
           "f2": b"e", "f4": b"f", "f8": b"d", "c8": b"Zf", "c16": b"Zd"}


# --- statistics -----------------------------------------------------------------------------------------------------

cdef dict count_of(const qds_memory_count *c):
    return {"current_bytes": c.current_bytes, "peak_bytes": c.peak_bytes, "current_blocks": c.current_blocks,
            "total_blocks": c.total_blocks}


cdef dict row_of(const qds_memory_row *row):
    return {"current_bytes": row.current_bytes, "peak_bytes": row.peak_bytes, "current_blocks": row.current_blocks,
            "total_blocks": row.total_blocks}


def buffers(Context context not None):
    """Every buffer that is there, as JSON."""
    cdef char *text = NULL
    cdef qds_status status
    with nogil:
        status = qds_memory_buffers(context.handle, &text)
    check(status)
    return take_text(text)


def statistics(Context context not None):
    cdef qds_memory_statistics s
    cdef qds_memory_row row
    cdef qds_memory_tag_row tag
    cdef qds_memory_files files
    cdef size_t index = 0
    cdef int i, j
    qds_context_memory(context.handle, &row)
    host = row_of(&row)
    host["tags"] = {}
    while qds_context_memory_tag(context.handle, index, &row):
        host["tags"][row.tag.decode("utf-8", "replace")] = row_of(&row)
        index += 1
    qds_memory_get_statistics(context.handle, &s)
    tags = {}
    index = 0
    while qds_memory_tag(context.handle, index, &tag):
        tags[tag.tag.decode("utf-8", "replace")] = {places[i]: count_of(&tag.places[i]) for i in range(<int>QDS_PLACES)
                                                    if tag.places[i].total_blocks}
        index += 1
    qds_context_files(context.handle, &files)
    return {
        "device": context.device,
        "host": host,
        "buffers": {"current": s.buffers, "total": s.total_buffers,
                    "python": {"current": s.python_buffers, "current_bytes": s.python_bytes},
                    "places": {places[i]: count_of(&s.places[i]) for i in range(<int>QDS_PLACES)}, "tags": tags},
        "spills": {"count": s.spills, "bytes": s.spilled_bytes, "returns": s.returns,
                   "returned_bytes": s.returned_bytes, "refused": s.refused_spills},
        "moved_bytes": {(places[i], places[j]): s.moves[i][j] for i in range(<int>QDS_PLACES) for j in range(<int>QDS_PLACES)
                        if s.moves[i][j]},
        "files": {"folder": None if files.folder == NULL else files.folder.decode("utf-8", "surrogateescape"),
                  "current_bytes": files.current_bytes, "peak_bytes": files.peak_bytes,
                  "current_blocks": files.current_blocks, "total_blocks": files.total_blocks},
    }
