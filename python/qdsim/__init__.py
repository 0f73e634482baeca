"""QDSim: the bound states of quantum-dot devices.

    result = qdsim.run("lens_dot.yaml")                      # a device file, or a dict with the same keys
    print(result.energies_eV)
    energies_eV, psi = qdsim.eigenstates(potential_eV, mass=0.067, spacing_nm=0.5)   # your own arrays

All computation happens in the C library libqdsim; this package holds handles to it. Lengths are in nm, energies in eV,
masses in free-electron masses.
"""

from ._core.context import Error, exceptions as _exceptions, version as _version
from .array import Array, asarray, empty, from_dlpack, memory_stats, zeros
from .device import Cost, Device
from .device_pool import DevicePool
from .eigenstates import eigenstates
from .materials import Band, Material, info, material, materials
from .memory_profile import MemoryProfile, memory_profile
from .result import Result
from .run import run

__version__ = _version()

# One class per status of the library (KeyboardInterrupt is Python's own).
_error_classes = {each.__name__: each for each in _exceptions.values() if issubclass(each, Error)}
globals().update(_error_classes)

__all__ = ["Array", "Band", "Cost", "Device", "DevicePool", "Error", "Material", "MemoryProfile", "Result", "asarray",
           "eigenstates", "empty", "from_dlpack", "info", "material", "materials", "memory_profile", "memory_stats", "run",
           "zeros", *_error_classes]
