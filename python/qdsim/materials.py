"""The material database and the report on this machine."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from . import checks
from ._core import material as _core
from ._core.context import Context


class Band(NamedTuple):
    """A carrier's band edge in eV, its masses along x, y, z, and for electrons the valley."""

    band_edge_eV: float
    mass: tuple
    valley: str = None


@dataclass(frozen=True)
class Material:
    """A semiconductor at a temperature. What its sources do not give is None. Gaps and masses of the conduction band go
    by valley: "Gamma", "X", "L". All band edges stand on one scale."""

    name: str
    temperature_K: float
    gap_eV: dict
    valley: str
    electron: Band
    heavy_hole: Band
    light_hole: Band
    spin_orbit_eV: float
    split_off_mass: float
    mass_longitudinal: dict
    mass_transverse: dict
    mass_density_of_states: dict
    luttinger: dict
    kane_energy_eV: float
    kane_F: float
    deformation_eV: dict
    lattice_nm: float
    elastic_GPa: dict
    permittivity_static: float
    permittivity_infinity: float
    source: str


def material(name, x=None, *, temperature_K=300.0):
    """A Material of the database: material("GaAs"), material("Al0.3Ga0.7As"), material("InGaAs", 0.53), where x is the
    fraction of the first element named of the two that mix."""
    context = Context()
    checks.text("name", name)
    temperature_K = checks.real_number("temperature_K", temperature_K)
    if x is not None:
        name = _core.alloy_name(context, name, checks.real_number("x", x), temperature_K)
    values = json.loads(_core.describe(context, name, temperature_K))
    for carrier in ("electron", "heavy_hole", "light_hole"):
        if band := values[carrier]:
            values[carrier] = Band(band["band_edge_eV"], tuple(band["mass"]), band.get("valley"))
    return Material(**values)


def materials():
    """The names in the database, binaries and elements first, then alloys."""
    return _core.names(Context())


def info():
    """What this machine and this build can do, as a dict: version, threads, devices, BLAS with measured GF/s, memory
    bandwidth. Takes about half a second."""
    return json.loads(_core.info(Context(device="auto")))
