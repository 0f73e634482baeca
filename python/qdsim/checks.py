"""Arguments as the C library takes them. What is of another kind is refused by name, and never rounded."""

import operator
import os
from numbers import Real

from .errors import ArgumentError


def whole_number(what, value):
    try:
        number = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{what}: {value!r} is no integer") from None
    if not -(2**31) <= number < 2**31:
        raise ArgumentError(f"{what}: {value} passes the range of 32 bits")
    return number


def real_number(what, value):
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ArgumentError(f"{what}: {value!r} is no real number")
    return float(value)


def text(what, value):
    if not isinstance(value, str):
        raise ArgumentError(f"{what}: {value!r} is no text")
    return value


def path(what, value):
    """A path's bytes."""
    try:
        encoded = os.fsencode(value)
    except (TypeError, UnicodeEncodeError):
        raise ArgumentError(f"{what}: {value!r} is no path") from None
    if b"\0" in encoded:  # before the work, not when the path is used
        raise ArgumentError(f"{what}: {value!r} contains a NUL character")
    return encoded


def device_name(value):
    if not isinstance(value, str):
        raise ArgumentError(f'device: {value!r}; "auto", "cpu", "cuda", "cuda:N", "sim" and "sim:N" are allowed')
    return value
