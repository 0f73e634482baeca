"""Devices, results and the arrays that look into them."""

cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer

from qdsim._core.capi cimport *
from qdsim._core.context cimport Context, Texts, c_text, check, take_bytes, take_text
from qdsim._core.made cimport Made, make

cdef extern from *:
    """
    #include "qdsim/dot.h"
    static const qds_array_device array_device_init = QDS_ARRAY_DEVICE_INIT;
    """
    const qds_array_device array_device_init


@cython.final
@cython.no_gc_clear  # the collector must not take the owner away while the array is alive
cdef class Array(Made):
    """Numbers that a Result owns, for numpy.asarray to look at without a copy; keeps the owner alive."""

    made_by = "Result"

    cdef readonly object owner
    cdef readonly dict __array_interface__

    @staticmethod
    cdef Array over(object owner, const void *data, str typestr, tuple shape, tuple strides=None):
        cdef Array array = make(Array)
        array.owner = owner
        array.__array_interface__ = {"version": 3, "typestr": typestr, "shape": shape, "strides": strides,
                                     "data": (<size_t>data, True)}
        return array


@cython.final
cdef class Doubles:
    """A contiguous array of doubles handed in, locked while the library reads it; None gives NULL."""

    cdef Py_buffer view
    cdef bint held
    cdef const double *data

    def __cinit__(self, values):
        if values is not None:
            PyObject_GetBuffer(values, &self.view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
            self.held = True
            if self.view.format == NULL or self.view.format != b"d":
                raise TypeError("expected a contiguous array of float64")
            self.data = <const double *>self.view.buf

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


@cython.final
@cython.no_gc_clear  # the context must outlive the device
cdef class Device(Made):
    """A checked device."""

    made_by = "Device.read, parse and from_arrays"

    cdef readonly Context context
    cdef qds_device *handle

    def __dealloc__(self):
        qds_device_destroy(self.handle)

    @staticmethod
    cdef Device of(Context context):
        """One whose handle is still to come."""
        cdef Device device = make(Device)
        device.context = context
        return device

    @staticmethod
    def read(Context context not None, bytes path not None, assignments):
        cdef Device device = Device.of(context)
        cdef Texts texts = Texts(assignments)
        cdef bytes path_bytes = c_text(path)
        cdef const char *path_text = path_bytes
        cdef qds_status status
        context.begin(None)
        with nogil:
            status = qds_device_read(context.handle, path_text, texts.data, &device.handle)
        context.finish(status)
        return device

    @staticmethod
    def parse(Context context not None, str name not None, str text not None, assignments):
        cdef Device device = Device.of(context)
        cdef Texts texts = Texts(assignments)
        cdef bytes name_bytes = c_text(name), text_bytes = c_text(text)
        cdef const char *named = name_bytes
        cdef const char *content = text_bytes
        cdef qds_status status
        context.begin(None)
        with nogil:
            status = qds_device_parse(context.handle, named, content, texts.data, &device.handle)
        context.finish(status)
        return device

    @staticmethod
    def from_arrays(Context context not None, potential_eV, *, tuple shape not None, coordinates_nm, spacing_nm,
                    double mass, mass_map, boundary, int order, int states, double tolerance_eV):
        cdef Device device = Device.of(context)
        cdef Doubles potential = Doubles(potential_eV), masses = Doubles(mass_map), axis_coordinates
        cdef qds_array_device arrays = array_device_init
        cdef qds_status status
        arrays.dimension = len(shape)
        arrays.potential_eV = potential.data
        arrays.mass = mass
        arrays.mass_map = masses.data
        arrays.order = order
        arrays.states = states
        arrays.tolerance_eV = tolerance_eV
        kept = []
        for axis in range(len(shape)):
            arrays.nodes[axis] = shape[axis]
            arrays.boundary[axis][0] = <qds_boundary><int>boundary[axis][0]
            arrays.boundary[axis][1] = <qds_boundary><int>boundary[axis][1]
            if coordinates_nm is None:
                arrays.spacing_nm[axis] = spacing_nm[axis]
            else:
                axis_coordinates = Doubles(coordinates_nm[axis])
                kept.append(axis_coordinates)
                arrays.coordinates_nm[axis] = axis_coordinates.data
        context.begin(None)
        with nogil:
            status = qds_device_from_arrays(context.handle, &arrays, &device.handle)
        context.finish(status)
        return device

    @property
    def name(self):
        """For people: it may come from a file's name, which need not be UTF-8."""
        return qds_device_name(self.handle).decode("utf-8", "replace")

    @property
    def configuration(self):
        return qds_device_configuration(self.handle).decode("utf-8")

    @property
    def wants_plot(self):
        return bool(qds_device_wants_plot(self.handle))

    def estimate(self):
        cdef qds_device_cost cost
        check(qds_device_estimate(self.handle, &cost))
        return {"dimension": cost.dimension, "order": cost.order, "states": cost.states,
                "nodes": tuple([cost.nodes[axis] for axis in range(cost.dimension)]),
                "unknowns": cost.unknowns, "memory_bytes": cost.memory_bytes, "seconds": cost.seconds}

    def solve(self, report):
        """Solves without the GIL; `report(phase, fraction, detail)`, or None, stops it by raising."""
        cdef Result result = make(Result)
        cdef qds_status status
        result.context = self.context
        self.context.begin(report)
        with nogil:
            status = qds_device_solve(self.handle, &result.handle)
        self.context.finish(status)
        return result


cdef const void *there(const void *array) except NULL:
    """What a result makes on demand, or the exception that says why it is not there."""
    if array == NULL:
        check(qds_last_error().status)
    return array


@cython.final
@cython.no_gc_clear  # the context must outlive the result
cdef class Result(Made):
    """Solved states. Its arrays are views that keep it alive."""

    made_by = "Device.solve"

    cdef readonly Context context
    cdef qds_result *handle

    def __dealloc__(self):
        qds_result_destroy(self.handle)

    @property
    def states(self):
        return qds_result_states(self.handle)

    @property
    def dimension(self):
        return qds_result_dimension(self.handle)

    @property
    def nodes(self):
        return tuple([qds_result_nodes(self.handle)[axis] for axis in range(self.dimension)])

    @property
    def is_complex(self):
        return bool(qds_result_is_complex(self.handle))

    @property
    def reference_eV(self):
        return qds_result_reference_eV(self.handle)

    @property
    def device(self):
        return qds_result_device(self.handle).decode("utf-8")

    @property
    def device_reason(self):
        return qds_result_device_reason(self.handle).decode("utf-8")

    @property
    def electrostatics_device(self):
        cdef const char *device = qds_result_electrostatics_device(self.handle)
        return None if device == NULL else device.decode("utf-8")

    @property
    def electrostatics_device_reason(self):
        cdef const char *reason = qds_result_electrostatics_device_reason(self.handle)
        return None if reason == NULL else reason.decode("utf-8")

    def energies_eV(self):
        return Array.over(self, qds_result_energies_eV(self.handle), "<f8", (self.states,))

    def residuals_eV(self):
        return Array.over(self, qds_result_residuals_eV(self.handle), "<f8", (self.states,))

    cdef object of_open(self, const double *values):
        return None if values == NULL else Array.over(self, values, "<f8", (self.states,))

    def widths_eV(self):
        return self.of_open(qds_result_widths_eV(self.handle))

    def lifetimes_s(self):
        return self.of_open(qds_result_lifetimes_s(self.handle))

    def sensitivities_eV(self):
        return self.of_open(qds_result_sensitivities_eV(self.handle))

    def coordinates_nm(self, int axis):
        return Array.over(self, qds_result_coordinates_nm(self.handle, axis), "<f8", (self.nodes[axis],))

    def weights_nm(self, int axis):
        return Array.over(self, qds_result_weights_nm(self.handle, axis), "<f8", (self.nodes[axis],))

    def position_nm(self, int state):
        return Array.over(self, qds_result_position_nm(self.handle, state), "<f8", (self.dimension,))

    def spread_nm(self, int state):
        return Array.over(self, qds_result_spread_nm(self.handle, state), "<f8", (self.dimension,))

    def band_edge_eV(self):
        cdef const double *band_edge
        with nogil:
            band_edge = qds_result_band_edge_eV(self.handle)
        return Array.over(self, there(band_edge), "<f8", self.nodes)

    def potential_V(self):
        return self.optional(qds_result_potential_V(self.handle), self.nodes)

    def electron_density_cm3(self):
        return self.optional(qds_result_electron_density_cm3(self.handle), self.nodes)

    def occupations(self):
        return self.optional(qds_result_occupations(self.handle), (self.states,))

    def fermi_level_eV(self):
        return qds_result_fermi_level_eV(self.handle)

    cdef optional(self, const double *data, tuple shape):
        return Array.over(self, data, "<f8", shape) if data != NULL else None

    def materials(self):
        cdef const unsigned char *materials
        with nogil:
            materials = qds_result_materials(self.handle)
        return Array.over(self, there(materials), "|u1", tuple([n - 1 for n in self.nodes]))

    def material_names(self):
        cdef const char *name
        names = []
        while True:
            name = qds_result_material_name(self.handle, len(names))
            if name == NULL:
                return tuple(names)
            names.append(name.decode("utf-8"))

    def probability(self, int state, int material):
        return qds_result_probability(self.handle, state, material)

    def psi(self, int state):
        """Comes from where it was found on the first call, without the GIL."""
        cdef const double *psi
        cdef bint is_complex = self.is_complex
        with nogil:
            psi = qds_result_psi_complex(self.handle, state) if is_complex else qds_result_psi(self.handle, state)
        return Array.over(self, there(psi), "<c16" if is_complex else "<f8", self.nodes)

    def all_psi(self):
        """All real states, which follow each other in memory, as one array."""
        cdef int i
        for i in range(1, self.states):
            self.psi(i)
        return Array.over(self, <const double *>there(qds_result_psi(self.handle, 0)), "<f8", (self.states, *self.nodes))

    def statistics(self):
        cdef qds_result_statistics statistics
        qds_result_get_statistics(self.handle, &statistics)
        return {
            "iterations": statistics.iterations,
            "operator_applications": statistics.operator_applications,
            "preconditioner_applications": statistics.preconditioner_applications,
            "setup_s": statistics.setup_s, "solve_s": statistics.solve_s, "verify_s": statistics.verify_s,
            "measure_s": statistics.measure_s, "total_s": statistics.total_s, "operator_s": statistics.operator_s,
            "preconditioner_s": statistics.preconditioner_s, "algebra_s": statistics.algebra_s,
            "preconditioner": statistics.preconditioner.decode("utf-8"),
            "verification": statistics.verification.decode("utf-8"),
            "levels_found_by_verification": statistics.levels_found_by_verification,
        }

    def json(self):
        cdef char *text = NULL
        check(qds_result_json(self.handle, 0.0, &text))
        return take_text(text)

    def write(self, bytes folder not None):
        cdef bytes folder_bytes = c_text(folder)
        cdef const char *path = folder_bytes
        cdef qds_status status
        self.context.begin(None)
        with nogil:
            status = qds_result_write(self.handle, path)
        self.context.finish(status)

    def path(self, bytes folder not None, str suffix not None):
        """The bytes of a file's path."""
        cdef char *text = NULL
        cdef bytes folder_bytes = c_text(folder), suffix_bytes = c_text(suffix)
        check(qds_result_path(self.handle, folder_bytes, suffix_bytes, &text))
        return take_bytes(text)
