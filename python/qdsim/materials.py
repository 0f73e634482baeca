"""The material database and the report on this machine."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from ._core import material as _core
from ._core.context import Context


class Band(NamedTuple):
    """A carrier's band edge in eV and its masses along x, y, z."""

    band_edge_eV: float
    mass: tuple


@dataclass(frozen=True)
class Material:
    """A semiconductor at a temperature. What its sources do not give is None. Gaps and masses go by valley: "Gamma",
    "X", "L"; bands by carrier: "electron", "heavy_hole", "light_hole"."""

    name: str
    temperature_K: float
    lattice_nm: float
    gap_eV: dict
    spin_orbit_eV: float
    valence_edge_eV: float
    conduction_edge_eV: float
    valley: str
    gamma_mass: float
    mass_longitudinal: dict
    mass_transverse: dict
    luttinger: tuple
    kane_energy_eV: float
    kane_f: float
    permittivity: float
    permittivity_infinity: float
    bands: dict
    source: str


def material(name, x=None, *, temperature_K=300.0):
    """A Material of the database: material("GaAs"), material("Al0.3Ga0.7As"), material("InGaAs", 0.53), where x is the
    fraction of the first element named of the two that mix."""
    values = _core.find(Context(), name, x, temperature_K)
    values["bands"] = {carrier: Band(**band) for carrier, band in values["bands"].items()}
    return Material(**values)


def materials():
    """The names in the database, binaries and elements first, then alloys."""
    return _core.names(Context())


def info():
    """What this machine and this build can do, as a dict: version, threads, devices, BLAS with measured GF/s, memory
    bandwidth. Takes about half a second."""
    return json.loads(_core.info(Context()))
