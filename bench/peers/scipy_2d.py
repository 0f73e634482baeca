"""Peer in two dimensions: SciPy's shift-invert Lanczos on the five-point form between hard walls.

scipy_2d.py well|harmonic NODES STATES    prints the energies in eV

The devices are those of examples/quickstart_2d.yaml and examples/harmonic_2d.yaml.
"""
import sys

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import eigsh

HBAR2_OVER_2M = 0.0380998211615486 / 0.067  # eV nm^2


def second_difference(nodes, length):
    spacing = length / (nodes - 1)
    return sparse.diags([-1, 2, -1], [-1, 0, 1], shape=(nodes - 2, nodes - 2)) * (HBAR2_OVER_2M / spacing**2)


def device(name, nodes):
    """The box's sides, the potential on its inner nodes, and a shift below the lowest level."""
    if name == "well":
        x = np.linspace(0, 25, nodes)[1:-1]
        well = np.where((x > 5) & (x < 15), -0.06, 0.0)
        return 25.0, 20.0, np.repeat(well[:, None], nodes - 2, axis=1), -0.07
    x = np.linspace(-50, 50, nodes)[1:-1]
    return 100.0, 100.0, 0.5 * 3.5171e-4 * (x[:, None] ** 2 + x[None, :] ** 2), 0.0


def main(name, nodes, states):
    width, height, potential, shift = device(name, nodes)
    identity = sparse.identity(nodes - 2)
    hamiltonian = (
        sparse.kron(second_difference(nodes, width), identity)
        + sparse.kron(identity, second_difference(nodes, height))
        + sparse.diags(potential.ravel())
    ).tocsc()
    print(*np.sort(eigsh(hamiltonian, k=states, sigma=shift, which="LM")[0]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
