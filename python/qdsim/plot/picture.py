"""What a picture shows, from a Result in memory or from the files of one."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FileError, InputError


@dataclass
class Fields:
    """Arrays over the grid."""

    axes_nm: tuple
    psi: object            # psi(i) -> real array on the nodes; None when it is complex or was not kept
    density: object        # density(i) -> array on the nodes
    band_edge_eV: object   # array on the nodes, or None
    materials: object      # array of numbers on the cells, or None


@dataclass
class Picture:
    name: str
    nodes: tuple
    energies_eV: np.ndarray
    reference_eV: float
    position_nm: np.ndarray  # [state, axis]
    spread_nm: np.ndarray
    material_names: tuple
    fields: object           # Fields, or None

    @property
    def dimension(self):
        return len(self.nodes)

    @property
    def upward(self):
        """1 for a carrier whose energy rises from the band edge (electrons), -1 for one whose energy falls (holes)."""
        return -1.0 if self.energies_eV[-1] < self.energies_eV[0] else 1.0


def from_result(result):
    count = range(len(result))
    fields = Fields(tuple(np.asarray(axis) for axis in (result.x_nm, *_further_axes(result))),
                    None if result.is_complex else result.psi, result.density, result.band_edge_eV, result.materials)
    return Picture(result.name, result.shape, result.energies_eV, result.reference_eV,
                   np.array([result.position_nm(i) for i in count]), np.array([result.spread_nm(i) for i in count]),
                   result.material_names, fields)


def _further_axes(result):
    return [getattr(result, name) for name in ("y_nm", "z_nm")[: result.dimension - 1]]


def from_files(path):
    """From RESULT.json and, where there is one, RESULT.vtkhdf beside it."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        states = content["states"]
        picture = Picture(content.get("name") or path.stem.replace("_", " "), tuple(content["nodes"]),
                          np.array([state["energy_eV"] for state in states]), content["reference_eV"],
                          np.array([state["position_nm"] for state in states]),
                          np.array([state["spread_nm"] for state in states]), tuple(states[0]["probability"]), None)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path}: not a result of qdsim ({type(error).__name__}: {error})") from error
    picture.fields = _read_fields(path.with_suffix(".vtkhdf"))
    return picture


def _read_fields(path):
    """The fields that were kept, each read when it is asked for; None without wave functions or densities."""
    if not path.exists():
        return None
    with _open(path) as file:
        axes = tuple(file["qdsim"][name][:] for name in "xyz" if name in file["qdsim"])
        kept = set(file["VTKHDF/PointData"])
        labelled = "material" in file.get("VTKHDF/CellData", ())
    nodes = tuple(len(axis) for axis in axes)
    cells = tuple(n - 1 for n in nodes)

    def point(name):
        return _read(path, f"VTKHDF/PointData/{name}", nodes)

    if "psi_0" in kept:
        psi = lambda i: point(f"psi_{i}")
        density = lambda i: np.square(psi(i))
    elif "density_0" in kept:
        psi, density = None, lambda i: point(f"density_{i}")
    else:
        return None
    return Fields(axes, psi, density, point("band_edge_eV") if "band_edge_eV" in kept else None,
                  _read(path, "VTKHDF/CellData/material", cells) if labelled else None)


def _read(path, name, shape):
    """An image runs through x fastest, a list of points or cells through the last axis."""
    with _open(path) as file:
        stored = file[name]
        if file["VTKHDF"].attrs["Type"] == b"ImageData":
            return np.ascontiguousarray(stored[:].reshape(shape[::-1]).transpose())
        return stored[:].reshape(shape)


@contextlib.contextmanager
def _open(path):
    """The file, to read; what cannot be read of it is an error that names it."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path}: not the fields of a result of qdsim ({type(error).__name__}: {error})") from error
