"""The exceptions that this package raises itself, in the library's classes and its way of speaking."""

from ._core.context import exceptions, nearest

_by_status = {each.status: each for each in exceptions.values() if each is not KeyboardInterrupt}
ArgumentError = _by_status["QDS_ERROR_ARGUMENT"]
InputError = _by_status["QDS_ERROR_INPUT"]
FileError = _by_status["QDS_ERROR_FILE"]
UnsupportedError = _by_status["QDS_ERROR_UNSUPPORTED"]
OutOfMemoryError = _by_status["QDS_ERROR_MEMORY"]


def unknown_word(what, word, allowed):
    """An ArgumentError that names the allowed words and the nearest of them."""
    likely = nearest(str(word), allowed)
    hint = f"; did you mean {likely!r}?" if likely else ""
    return ArgumentError(f"{what}: unknown {word!r}{hint} (allowed: {', '.join(allowed)})")
