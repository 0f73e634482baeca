"""Outlines of materials."""

import numpy as np

from .style import INK

# Of a smoothed share: a layer one cell thick has half, and is drawn.
BORDER = 0.45


def middles(axis):
    return (axis[1:] + axis[:-1]) / 2


def smoothed(inside):
    """The share of material around each cell, so that outlines run through stairs of cells and not along them."""
    share = inside.astype(float)
    for axis in range(share.ndim):
        padding = [(1, 1) if each == axis else (0, 0) for each in range(share.ndim)]
        padded = np.moveaxis(np.pad(share, padding, mode="edge"), axis, 0)
        share = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return share


def draw(axes, x, y, cells):
    """The borders between the materials of a plane of cells, [x, y]."""
    if cells is None:
        return
    for number in np.unique(cells)[1:]:
        axes.contour(middles(x), middles(y), smoothed(cells == number).T, levels=[BORDER], colors=[INK], linewidths=0.9,
                     alpha=0.75)


def draw_turning_line(axes, x, y, band_edge_eV, energy_eV):
    """Where a classical carrier of this energy would turn back."""
    if band_edge_eV is not None and band_edge_eV.min() < energy_eV < band_edge_eV.max():
        axes.contour(x, y, band_edge_eV.T, levels=[energy_eV], colors=[INK], linewidths=0.8, linestyles=[(0, (4, 3))],
                     alpha=0.6)


def extent(axes_nm, densities):
    """Per axis the limits of where any density is above a hundredth of its maximum, with a margin."""
    seen = [np.zeros(len(coordinates), bool) for coordinates in axes_nm]
    for density in densities:
        dense = density > 0.01 * density.max()
        for axis in range(len(axes_nm)):
            seen[axis] |= dense.any(axis=tuple(each for each in range(len(axes_nm)) if each != axis))
    limits = []
    for coordinates, dense in zip(axes_nm, seen):
        found = coordinates[dense]
        margin = 0.18 * (found[-1] - found[0])
        limits.append((max(coordinates[0], found[0] - margin), min(coordinates[-1], found[-1] + margin)))
    return limits
