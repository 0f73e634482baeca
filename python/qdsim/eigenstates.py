"""Bound states of a potential given as an array."""

from collections.abc import Mapping

import numpy as np

from . import checks
from ._core.device import Device as _Device
from .device import new_context
from .errors import ArgumentError, unknown_word
from .progress import reporting

_AXES = "xyz"
_BOUNDARIES = {"dirichlet": 0, "neumann": 1, "periodic": 2}


def eigenstates(potential_eV, mass=1.0, spacing_nm=None, *, coordinates=None, states=6, boundary="dirichlet", order=1,
                tolerance_eV=None, threads=0, memory_limit=None, scratch=None, device="auto", progress=None):
    """The lowest bound states of an electron in a potential given on the nodes of a grid, in 1 to 3 dimensions.

    potential_eV  array of any real type and layout; one value per node, both ends of every axis included
    mass          effective mass in units of the free electron's: a number, or an array like potential_eV
    spacing_nm    distance of the nodes: a number, or one per axis
    coordinates   instead of spacing_nm: the ascending coordinates of the nodes in nm, one array per axis
    states        how many
    boundary      "dirichlet" (hard walls), "neumann" or "periodic", for all axes; or one word per axis, or per axis a
                  pair of words for its low and high end; or {"x": "periodic", "y": ["neumann", "dirichlet"]}
    order         1 to 4, of the elements; nodes along an axis: a multiple of the order, plus 1. From 2 on, give the
                  coordinates of the Gauss-Lobatto nodes
    tolerance_eV  bound on the residual norms ||H psi - E psi||; None: the library's default
    device        "auto" (a GPU, else the CPU), "cpu", "cuda", "cuda:N", "sim" or "sim:N"
    progress      as in Device.solve

    Returns (energies_eV, psi). psi has the shape (states, *potential_eV.shape), is real and normalised so that
    sum(psi[i]**2) times the cell volume is 1 (ends weighted by half), looks at the library's memory without a copy,
    and is read-only.
    """
    potential = _real_array("potential_eV", potential_eV)
    if not 1 <= potential.ndim <= 3:
        raise ArgumentError(f"potential_eV: {potential.ndim} dimensions; 1 to 3 are allowed")
    mass_value, mass_map = _mass(mass, potential.shape)
    spacing, axes = _grid(spacing_nm, coordinates, potential.shape)
    problem = _Device.from_arrays(
        new_context(threads, memory_limit, device, scratch), potential, shape=potential.shape, coordinates_nm=axes,
        spacing_nm=spacing, mass=mass_value, mass_map=mass_map, boundary=_boundary(boundary, potential.ndim),
        order=checks.whole_number("order", order), states=checks.whole_number("states", states),
        tolerance_eV=0.0 if tolerance_eV is None else checks.real_number("tolerance_eV", tolerance_eV))
    with reporting(progress) as report:
        result = problem.solve(report)
    return np.asarray(result.energies_eV()), np.asarray(result.all_psi())


def _real_array(what, values):
    """The values as contiguous float64, without a copy when they are that already."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise ArgumentError(f"{what}: an array of {array.dtype} is not an array of real numbers")
    array = np.require(array, np.float64, ["C_CONTIGUOUS", "ALIGNED"])
    _refuse(what, array, ~np.isfinite(array), "every value must be a finite number")
    return array


def _refuse(what, array, wrong, rule):
    if wrong.any():
        index = np.unravel_index(np.argmax(wrong), array.shape)
        where = f"[{', '.join(str(i) for i in index)}]" if index else ""
        more = f" (and {np.count_nonzero(wrong) - 1} more)" if np.count_nonzero(wrong) > 1 else ""
        raise ArgumentError(f"{what}{where} is {array[index]}{more}: {rule}")


def _mass(mass, shape):
    array = _real_array("mass", mass)
    if array.shape not in ((), shape):
        raise ArgumentError(f"mass: shape {array.shape} differs from potential_eV's {shape}; give a number or one "
                            "value per node")
    if array.ndim == 0:
        if array <= 0:
            raise ArgumentError(f"mass is {array}: it must be positive")
        return float(array), None
    _refuse("mass", array, array <= 0, "a mass must be positive")
    return 1.0, array


def _grid(spacing_nm, coordinates, shape):
    if (spacing_nm is None) == (coordinates is None):
        raise ArgumentError("give the grid as spacing_nm=0.5 (or one per axis) or as coordinates=(x, y, z), one of "
                            "them")
    if coordinates is None:
        spacing = _real_array("spacing_nm", spacing_nm)
        if spacing.shape not in ((), (len(shape),)):
            raise ArgumentError(f"spacing_nm: {spacing.size} values for {len(shape)} axes; give one, or one per axis")
        spacing = np.broadcast_to(spacing, (len(shape),))
        if (spacing <= 0).any():
            raise ArgumentError(f"spacing_nm is {spacing_nm}: every spacing must be positive")
        return tuple(float(step) for step in spacing), None
    if not hasattr(coordinates, "__len__"):
        raise ArgumentError(f"coordinates: {coordinates!r}; give one array per axis")
    if len(shape) == 1 and len(coordinates) and np.ndim(coordinates[0]) == 0:
        coordinates = (coordinates,)
    if len(coordinates) != len(shape):
        raise ArgumentError(f"coordinates: {len(coordinates)} arrays for {len(shape)} axes; give one per axis")
    return None, tuple(_axis(_AXES[i], values, shape[i]) for i, values in enumerate(coordinates))


def _axis(name, values, nodes):
    axis = _real_array(f"coordinates of {name}", values)
    if axis.shape != (nodes,):
        raise ArgumentError(f"coordinates of {name}: shape {axis.shape}, but potential_eV has {nodes} nodes along "
                            f"{name}")
    _refuse(f"coordinates of {name}", axis[1:], np.diff(axis) <= 0, "coordinates must ascend")
    return axis


def _boundary(boundary, dimension):
    """((low, high), ...) per axis as the library's numbers."""
    axes = _AXES[:dimension]
    if isinstance(boundary, str):
        boundary = (boundary,) * dimension
    if isinstance(boundary, Mapping):
        for name in boundary:
            if name not in tuple(axes):
                raise unknown_word("boundary", name, list(axes))
        boundary = [boundary.get(name, "dirichlet") for name in axes]
    if not isinstance(boundary, (list, tuple)):
        raise ArgumentError(f"boundary: {boundary!r}; one word, one entry per axis, or a dict by axis is allowed")
    if len(boundary) != dimension:
        raise ArgumentError(f"boundary: {len(boundary)} entries for {dimension} axes; give one word, or one entry per "
                            "axis")
    return tuple(_ends(f"boundary of {name}", ends) for name, ends in zip(axes, boundary))


def _ends(what, ends):
    if isinstance(ends, str):
        ends = (ends, ends)
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise ArgumentError(f"{what}: {ends!r}; give one word, or a pair for the low and the high end")
    for word in ends:
        if not isinstance(word, str) or word not in _BOUNDARIES:
            raise unknown_word(what, word, list(_BOUNDARIES))
    if (ends[0] == "periodic") != (ends[1] == "periodic"):
        raise ArgumentError(f"{what}: {list(ends)}; an axis is periodic at both ends or at none")
    return tuple(_BOUNDARIES[word] for word in ends)
