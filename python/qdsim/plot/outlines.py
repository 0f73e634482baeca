"""Where the materials are: their outlines in planes and the surfaces around them, and what part of a device to show."""

from dataclasses import dataclass

import numpy as np

from .style import INK


@dataclass
class Body:
    """A material as its share around points of a grid; its border is where the share passes `border`."""

    axes_nm: tuple
    share: np.ndarray
    border: float

    def plane(self, axis, coordinate_nm):
        """The body in the plane across `axis` nearest to the coordinate."""
        points = self.axes_nm[axis]
        others = tuple(each for number, each in enumerate(self.axes_nm) if number != axis)
        return Body(others, self.share.take(int(np.abs(points - coordinate_nm).argmin()), axis), self.border)


def bodies(fields):
    """All materials but the one with the most cells."""
    if fields.materials is None:
        return []
    numbers, counts = np.unique(fields.materials, return_counts=True)
    background = numbers[counts.argmax()]
    others = numbers[numbers != background]
    if len(others) == 1 and fields.band_edge_eV is not None:
        share = _share_by_band_edge(fields, background, others[0])
        if share is not None:
            return [Body(fields.axes_nm, share, 0.5)]
    middles = tuple((axis[1:] + axis[:-1]) / 2 for axis in fields.axes_nm)
    # Of a smoothed share: a layer one cell thick has half, and is drawn.
    return [Body(middles, _smoothed(fields.materials == number), 0.45) for number in others]


def _share_by_band_edge(fields, background, material):
    """The solver averages the band edge around every node by volume, which gives smooth outlines; None where a
    potential comes on top of it."""
    low, high = (fields.band_edge_eV[_inner_nodes(fields.materials == number)] for number in (background, material))
    if len(low) == 0 or len(high) == 0:
        return None
    step = np.median(high) - np.median(low)
    if max(np.ptp(low), np.ptp(high)) > 0.01 * abs(step) or step == 0:
        return None
    return (fields.band_edge_eV - np.median(low)) / step


def _inner_nodes(cells):
    """The nodes that touch only such cells."""
    nodes = np.pad(cells, 1, mode="edge")
    for axis in range(nodes.ndim):
        lower, upper = (nodes.take(range(first, nodes.shape[axis] - 1 + first), axis) for first in (0, 1))
        nodes = lower & upper
    return nodes


def _smoothed(inside):
    """The share of a material around each cell, so that outlines run through stairs of cells and not along them."""
    share = inside.astype(float)
    for axis in range(share.ndim):
        padding = [(1, 1) if each == axis else (0, 0) for each in range(share.ndim)]
        padded = np.moveaxis(np.pad(share, padding, mode="edge"), axis, 0)
        share = np.moveaxis(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:], 0, axis)
    return share


def draw(axes, body):
    """The border of a body in a plane."""
    if body.share.min() < body.border < body.share.max():
        axes.contour(*body.axes_nm, body.share.T, levels=[body.border], colors=[INK], linewidths=0.9, alpha=0.75)


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
