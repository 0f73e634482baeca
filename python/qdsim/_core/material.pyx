"""The material database and the report on this machine."""

from qdsim._core.capi cimport *
from qdsim._core.context cimport Context, check, take_text

cdef tuple VALLEYS = ("Gamma", "X", "L")


cdef _known(double value):
    """The database marks what its sources do not give with NaN."""
    return value if value == value else None


cdef dict _by_valley(const double *values):
    return {VALLEYS[i]: _known(values[i]) for i in range(3)}


cdef dict _bands(Context context, const qds_material *material):
    """Band edge and masses of the carriers whose numbers the database has."""
    cdef qds_material_band band
    bands = {}
    for name, carrier in (("electron", <int>QDS_ELECTRON), ("heavy_hole", <int>QDS_HEAVY_HOLE),
                          ("light_hole", <int>QDS_LIGHT_HOLE)):
        status = qds_material_band_of(context.handle, material, <qds_carrier><int>carrier, &band)
        if status == QDS_ERROR_INPUT:
            continue
        check(status)
        bands[name] = {"band_edge_eV": band.band_edge_eV, "mass": tuple([band.mass[axis] for axis in range(3)])}
    return bands


def find(Context context not None, str name not None, x, double temperature_K):
    cdef qds_material material
    cdef bytes name_bytes = name.encode("utf-8")
    cdef const char *source = NULL
    if x is None:
        check(qds_material_find(context.handle, name_bytes, temperature_K, &material))
    else:
        check(qds_material_alloy(context.handle, name_bytes, x, temperature_K, &material))
    check(qds_material_source(context.handle, name_bytes, &source))
    return {
        "name": material.name.decode("utf-8"),
        "temperature_K": material.temperature_K,
        "lattice_nm": _known(material.lattice_nm),
        "gap_eV": _by_valley(material.gap_eV),
        "spin_orbit_eV": _known(material.spin_orbit_eV),
        "valence_edge_eV": material.valence_edge_eV,
        "conduction_edge_eV": material.conduction_edge_eV,
        "valley": VALLEYS[material.valley],
        "gamma_mass": _known(material.gamma_mass),
        "mass_longitudinal": _by_valley(material.mass_longitudinal),
        "mass_transverse": _by_valley(material.mass_transverse),
        "luttinger": tuple([_known(material.luttinger[i]) for i in range(3)]),
        "kane_energy_eV": _known(material.kane_energy_eV),
        "kane_f": _known(material.kane_f),
        "permittivity": _known(material.permittivity),
        "permittivity_infinity": _known(material.permittivity_infinity),
        "bands": _bands(context, &material),
        "source": source.decode("utf-8"),
    }


def names(Context context not None):
    cdef const char *name = NULL
    found = []
    while True:
        check(qds_material_name(context.handle, len(found), &name))
        if name == NULL:
            return found
        found.append(name.decode("utf-8"))


def info(Context context not None):
    """The report as JSON."""
    cdef char *text = NULL
    cdef qds_status status
    with nogil:
        status = qds_info(context.handle, 1, &text)
    check(status)
    return take_text(text)
