"""Results: the states of a solved device."""

import json
import operator
import os
from pathlib import Path

import numpy as np

from . import checks


class Result:
    """The lowest states of a device, in ascending order of the carrier's energy.

    Its arrays look at the library's memory without a copy, are read-only, and keep that memory alive when the Result
    itself is gone. `result.psi(0).copy()` is yours to change.
    """

    def __init__(self, core, name):
        self._core = core
        self.name = name

    def __len__(self):
        return self._core.states

    @property
    def dimension(self):
        return self._core.dimension

    @property
    def device(self):
        """What solved it: "cpu", "cuda:0" or "sim:0"."""
        return self._core.device

    @property
    def device_reason(self):
        """Why the CPU solved it when that was not asked for, else ""."""
        return self._core.device_reason

    @property
    def electrostatics_device(self):
        """What solved Poisson's equation and found the density; None without electrostatics."""
        return self._core.electrostatics_device

    @property
    def electrostatics_device_reason(self):
        """Why that was the CPU when it was not asked for, else ""; None without electrostatics."""
        return self._core.electrostatics_device_reason

    @property
    def shape(self):
        """Nodes per axis, ends included."""
        return self._core.nodes

    @property
    def energies_eV(self):
        """One energy per state, on the scale of the band edges given."""
        return np.asarray(self._core.energies_eV())

    @property
    def residuals_eV(self):
        """||H psi - E psi|| per state: an energy is wrong by no more than this, apart from the grid's error."""
        return np.asarray(self._core.residuals_eV())

    @property
    def widths_eV(self):
        """Of an open device: the complex energies are energies_eV - 0.5j * widths_eV. None for a closed one."""
        return self._of_open(self._core.widths_eV())

    @property
    def lifetimes_s(self):
        """Of an open device: hbar / width, infinite where the width cannot be told from 0. None for a closed one."""
        return self._of_open(self._core.lifetimes_s())

    @property
    def sensitivities_eV(self):
        """Of an open device: how far the complex energies move with the method's parameter. None for a closed one."""
        return self._of_open(self._core.sensitivities_eV())

    @staticmethod
    def _of_open(values):
        return None if values is None else np.asarray(values)

    @property
    def reference_eV(self):
        """The band edge of the background."""
        return self._core.reference_eV

    @property
    def x_nm(self):
        return self._axis(0)

    @property
    def y_nm(self):
        return self._axis(1)

    @property
    def z_nm(self):
        return self._axis(2)

    @property
    def weights_nm(self):
        """The quadrature weights of the nodes, one array per axis: sum(abs(psi)**2 * wx * wy * wz) = 1."""
        return tuple(np.asarray(self._core.weights_nm(axis)) for axis in range(self.dimension))

    @property
    def band_edge_eV(self):
        """The carrier's potential energy at the nodes."""
        return np.asarray(self._core.band_edge_eV())

    @property
    def potential_V(self):
        """The electrostatic potential at the nodes, of which energies and band edge contain the electron's energy; None
        for a device without electrostatics."""
        return self._optional(self._core.potential_V())

    @property
    def electron_density_cm3(self):
        """The density of electrons at the nodes of a self-consistent device, else None."""
        return self._optional(self._core.electron_density_cm3())

    @property
    def occupations(self):
        """The electrons in each state of a self-consistent device, else None: per cm^2 in 1D, per cm in 2D."""
        return self._optional(self._core.occupations())

    @property
    def fermi_level_eV(self):
        """The Fermi level on the scale of the energies; NaN unless the device is self-consistent."""
        return self._core.fermi_level_eV()

    @property
    def materials(self):
        """The number of the material in each cell (one less than the nodes along each axis); see material_names."""
        return np.asarray(self._core.materials())

    @property
    def material_names(self):
        return self._core.material_names()

    @property
    def statistics(self):
        """Iterations, applications and times of the solve, as a dict."""
        return self._core.statistics()

    @property
    def is_complex(self):
        """Whether wave functions are complex: in a magnetic field, and of open devices."""
        return self._core.is_complex

    def psi(self, state):
        """The wave function on the nodes, shaped like the grid, in nm^(-dimension/2), normalised: real, or complex in a
        magnetic field and of an open device."""
        return np.asarray(self._core.psi(self._index(state)))

    def density(self, state):
        """|psi|**2, in nm^-dimension."""
        psi = self.psi(state)
        return np.square(psi.real) + np.square(psi.imag) if self.is_complex else np.square(psi)

    def position_nm(self, state):
        """The mean position, one number per axis."""
        return np.asarray(self._core.position_nm(self._index(state)))

    def spread_nm(self, state):
        """The standard deviation of the position, one number per axis."""
        return np.asarray(self._core.spread_nm(self._index(state)))

    def probability(self, state):
        """The probability of finding the state in each material, {name: probability}."""
        state = self._index(state)
        return {name: self._core.probability(state, number) for number, name in enumerate(self.material_names)}

    def json(self):
        """The result as JSON text, as the command writes it."""
        return self._core.json()

    def to_dict(self):
        """The result as a dict; its keys are those of the result file."""
        return json.loads(self.json())

    def save(self, folder, *, plot=False):
        """Writes NAME.json and, if the device asks for fields, NAME.vtkhdf (ParaView opens it); with plot=True also
        NAME.png. Each file is written whole or not at all. Returns the path of the JSON file."""
        folder = checks.path("folder", folder)
        self._core.write(folder)
        if plot:
            self.plot(os.fsdecode(self._core.path(folder, ".png")))
        return Path(os.fsdecode(self._core.path(folder, ".json")))

    def plot(self, path=None, **options):
        """Draws the states; returns the matplotlib Figure, or writes it to `path` (.png, .pdf or .svg) and returns the
        path. Options: those of qdsim.plot.draw."""
        from . import plot

        return plot.plot(self, path, **options)

    def _index(self, state):
        count = len(self)
        index = operator.index(state)
        if not -count <= index < count:
            raise IndexError(f"no state {index}: this result has {count}, numbered from 0")
        return index % count

    @staticmethod
    def _optional(array):
        return None if array is None else np.asarray(array)

    def _axis(self, axis):
        if axis >= self.dimension:
            raise AttributeError(f"a {self.dimension}D result has no {'xyz'[axis]} axis")
        return np.asarray(self._core.coordinates_nm(axis))

    def __repr__(self):
        nodes = " x ".join(str(n) for n in self.shape)
        head = f'<qdsim.Result "{self.name}": {self.dimension}D, {nodes} nodes, {len(self)} states'
        return "\n".join([head, *("  " + line for line in self._table())]) + ">"

    def _table(self):
        """The states as lines of text."""
        names = self.material_names
        rows = [["state", "energy_eV", "residual_eV", "position_nm", "spread_nm", *names]]
        for i in range(len(self)):
            probability = self.probability(i)
            rows.append([str(i), f"{self.energies_eV[i]:.6f}", f"{self.residuals_eV[i]:.1e}",
                         _vector(self.position_nm(i)), _vector(self.spread_nm(i)),
                         *(f"{100 * probability[name]:.1f} %" for name in names)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return ["  ".join(text.rjust(width) for text, width in zip(row, widths)) for row in rows]


def _vector(values):
    # Adding 0 turns -0.00 into 0.00.
    return "(" + ", ".join(f"{np.round(value, 2) + 0.0:.2f}" for value in values) + ")"
