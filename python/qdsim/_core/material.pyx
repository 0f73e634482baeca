"""The material database and the report on this machine, as JSON."""

from qdsim._core.capi cimport *
from qdsim._core.context cimport Context, c_text, check, take_text


def alloy_name(Context context not None, str alloy not None, double x, double temperature_K):
    """The name with the composition: "In0.53Ga0.47As" for InGaAs and 0.53."""
    cdef qds_material material
    cdef bytes alloy_bytes = c_text(alloy)
    check(qds_material_alloy(context.handle, alloy_bytes, x, temperature_K, &material))
    return material.name.decode("utf-8")


def describe(Context context not None, str name not None, double temperature_K):
    cdef char *text = NULL
    cdef bytes name_bytes = c_text(name)
    check(qds_material_json(context.handle, name_bytes, temperature_K, &text))
    return take_text(text)


def names(Context context not None):
    cdef const char *name = NULL
    found = []
    while True:
        check(qds_material_name(context.handle, len(found), &name))
        if name == NULL:
            return found
        found.append(name.decode("utf-8"))


def info(Context context not None):
    cdef char *text = NULL
    cdef qds_status status
    with nogil:
        status = qds_info(context.handle, 1, &text)
    check(status)
    return take_text(text)
