"""Contexts, and how a status becomes an exception."""

cimport cython
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from qdsim._core.capi cimport *

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

# The exceptions come from the library's one list of statuses, so that a new status has its class at once.
cdef extern from *:
    """
    #include "qdsim/status.h"
    typedef struct { int value; const char *name; const char *text; } status_row;
    #define STATUS_ROW(code, value, exit_status, text) {value, #code, text},
    static const status_row status_rows[] = {QDS_STATUS_LIST(STATUS_ROW)};
    enum { status_row_count = sizeof status_rows / sizeof status_rows[0] };
    """
    ctypedef struct status_row:
        int value
        const char *name
        const char *text
    const status_row status_rows[]
    const int status_row_count


class Error(Exception):
    """What every error of the library derives from. `status` names the library's status, `native` is the errno or
    library code behind it (0: none), `source` the library's source line that raised it."""

    status = ""
    native = 0
    source = ""


# Where Python has a class for the same trouble, ours derives from it too, so that plain `except` clauses work.
_BUILTIN = {
    "ARGUMENT": ValueError,
    "INPUT": ValueError,
    "FILE": OSError,
    "MEMORY": MemoryError,
    "BUDGET": MemoryError,
    "NUMERIC": ArithmeticError,
}
# MemoryError is Python's own.
_NAMES = {"MEMORY": "OutOfMemoryError"}


def _make_exceptions():
    classes = {}
    for i in range(status_row_count):
        row = &status_rows[i]
        word = row.name.decode()[len("QDS_ERROR_"):]
        if row.value == QDS_OK:
            continue
        if row.value == QDS_ERROR_INTERRUPTED:
            classes[row.value] = KeyboardInterrupt
            continue
        name = _NAMES.get(word, word.capitalize() + "Error")
        text = row.text.decode()
        classes[row.value] = type(name, (Error, _BUILTIN.get(word, RuntimeError)), {
            "__module__": "qdsim", "__qualname__": name, "__doc__": text.capitalize() + ".",
            "status": row.name.decode()})
    return classes


exceptions = _make_exceptions()


cdef int check(qds_status status) except -1:
    """Raises the exception of a failed call. Call it in the thread that made the call, before the next one."""
    cdef const qds_error *last
    if status == QDS_OK:
        return 0
    last = qds_last_error()
    error = exceptions[<int>status](last.message.decode("utf-8", "replace"))
    if isinstance(error, Error):
        error.native = last.native
        error.source = f"{last.file.decode('utf-8', 'replace')}:{last.line}"
    if isinstance(error, OSError) and last.native > 0:
        error.errno = last.native
    raise error


cdef bytes c_text(text):
    """Text, or a path's bytes, for C, whose texts are UTF-8 and end at the first NUL."""
    cdef bytes encoded
    try:
        encoded = text if isinstance(text, bytes) else (<str?>text).encode("utf-8")
    except UnicodeEncodeError as error:
        around = text[max(error.start - 40, 0):error.start + 40]
        raise exceptions[<int>QDS_ERROR_ARGUMENT](f"{around!r} contains {text[error.start]!r}, which is no character") from None
    if b"\0" in encoded:
        raise exceptions[<int>QDS_ERROR_ARGUMENT](f"{text!r} contains a NUL character")
    return encoded


cdef bytes take_bytes(char *text):
    """The library's text; frees it."""
    try:
        return <bytes>text
    finally:
        qds_text_destroy(text)


cdef str take_text(char *text):
    return take_bytes(text).decode("utf-8")


@cython.final
cdef class Texts:
    """Strings as the NULL-terminated list of the C API; None gives NULL."""

    def __cinit__(self, texts):
        if texts is None:
            return
        self.kept = [c_text(text) for text in texts]
        self.data = <const char **>calloc(len(self.kept) + 1, sizeof(char *))
        if self.data == NULL:
            raise MemoryError("no room for a list of texts")
        for i in range(len(self.kept)):
            self.data[i] = <bytes>self.kept[i]

    def __dealloc__(self):
        free(self.data)


cdef int on_progress(void *user, const char *phase, double fraction, const char *detail) noexcept with gil:
    context = <Context>user
    try:
        # Does nothing outside the main thread, where Python handles no signals.
        PyErr_CheckSignals()
        if context.report is not None:
            context.report(phase.decode("utf-8", "replace"), fraction, detail.decode("utf-8", "replace"))
    except BaseException as error:
        context.stopped_by = error
        return 1
    return 0


cdef void on_log(void *user, qds_log_level level, const char *text) noexcept with gil:
    import logging
    levels = {QDS_LOG_ERROR: logging.ERROR, QDS_LOG_WARNING: logging.WARNING, QDS_LOG_INFO: logging.INFO}
    try:
        logging.getLogger("qdsim").log(levels.get(level, logging.DEBUG), "%s", text.decode("utf-8", "replace"))
    except BaseException as error:
        # A message has no way to stop the work, but Ctrl-C may fall into it.
        context = <Context>user
        if not context.busy:
            raise
        context.stopped_by = error
        qds_context_interrupt(context.handle)


# The contexts that there are, and the memory profiles that run, as addresses: each profile looks at each context.
cdef set contexts = set()
cdef set profiles = set()


cdef qds_memory_profile *watch(qds_context *base, double interval_s) except NULL:
    """A profile that looks at all contexts, those that are made later too; `base` holds its memory."""
    cdef qds_memory_profile *profile = NULL
    cdef qds_context **every
    cdef qds_status status
    cdef size_t count = 1
    addresses = list(contexts)
    every = <qds_context **>calloc(1 + len(addresses), sizeof(qds_context *))
    if every == NULL:
        raise MemoryError("no room for a list of contexts")
    every[0] = base
    for address in addresses:
        every[count] = <qds_context *><size_t>address
        count += 1
    status = qds_memory_profile_start_on(every, count, interval_s, &profile)
    free(every)
    check(status)
    profiles.add(<size_t>profile)
    return profile


cdef void unwatch(qds_memory_profile *profile):
    """Stops a profile. Until its thread has ended, which other threads of Python do not wait for, contexts that end must
    leave it."""
    with nogil:
        qds_memory_profile_stop(profile)
    profiles.discard(<size_t>profile)


cdef int enter(qds_context *context) except -1:
    for profile in profiles:
        check(qds_memory_profile_join(<qds_memory_profile *><size_t>profile, context))
    contexts.add(<size_t>context)
    return 0


cdef void leave(qds_context *context):
    contexts.discard(<size_t>context)
    for profile in profiles:
        qds_memory_profile_leave(<qds_memory_profile *><size_t>profile, context)


@cython.final
cdef class Context:
    """Threads, memory account and messages of one device. It runs one long call at a time."""

    def __cinit__(self, int threads=0, size_t memory_limit=0, str device not None="cpu", size_t device_memory_limit=0,
                  bytes scratch=None):
        cdef qds_context_options options
        cdef bytes wanted = c_text(device), folder = None if scratch is None else c_text(scratch)
        cdef qds_status status
        memset(&options, 0, sizeof(options))
        options.struct_size = sizeof(options)
        options.device = wanted
        options.threads = threads
        options.memory_limit = memory_limit
        options.device_memory_limit = device_memory_limit
        if folder is not None:
            options.scratch = folder
        options.log = on_log
        options.progress = on_progress
        options.user = <void *>self
        with nogil:  # a GPU takes a while to wake up
            status = qds_context_create(&options, &self.handle)
        check(status)
        enter(self.handle)

    def __dealloc__(self):
        leave(self.handle)
        with nogil:
            qds_context_destroy(self.handle)

    @property
    def device(self):
        return qds_context_device(self.handle).decode("utf-8")

    cdef int begin(self, object report) except -1:
        if self.busy:
            raise exceptions[<int>QDS_ERROR_ARGUMENT](
                "this device is being solved already: in another thread, or by the call whose progress this is; "
                "make a second device")
        self.busy = True
        self.report = report
        self.stopped_by = None
        return 0

    cdef int finish(self, qds_status status) except -1:
        """Ends what begin began: raises the exception that stopped the call, else that of its status."""
        error, self.stopped_by, self.report, self.busy = self.stopped_by, None, None, False
        if status == QDS_ERROR_INTERRUPTED or error is not None:
            qds_context_resume(self.handle)
        if error is not None:
            raise error
        return check(status)


def last_message():
    """The message of this thread's last failed call."""
    return qds_last_error().message.decode("utf-8", "replace")


def version():
    return qds_version().decode()


def nearest(str word not None, candidates):
    """The candidate that `word` is likely a slip of, or None."""
    cdef Texts texts = Texts(candidates)
    cdef bytes word_bytes = c_text(word)
    cdef const char *found = qds_nearest(word_bytes, texts.data)
    return None if found == NULL else found.decode("utf-8")


def parse_bytes(str text not None):
    """Bytes from text such as "2GiB"; None if it is no amount of memory."""
    cdef size_t count
    cdef bytes text_bytes = c_text(text)
    return count if qds_parse_bytes(text_bytes, &count) else None
