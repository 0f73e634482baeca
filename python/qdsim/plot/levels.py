"""Levels: the diagram of them, and in 1D their wave functions in the well."""

import numpy as np

from .style import FAINT, INK, EnergyScale, colour, groups, heading, plain, spread_apart, state_names, tint


def draw_diagram(picture, figure, count):
    """The whole figure, for a result without fields."""
    figure.set_size_inches(4.2, 5.6)
    heading(figure, picture, count)
    add_diagram(picture, figure.add_axes((0.19, 0.05, 0.77, 0.80)), count)


def add_diagram(picture, axes, count):
    """Levels as bars, degenerate ones side by side, with their energies beside them."""
    energies = picture.energies_eV[:count]
    low, high = _diagram_window(picture, energies)
    scale = EnergyScale(energies)
    levels = [(states, float(np.mean(energies[states]))) for states in groups(energies)]
    for states, energy in levels:
        width = 0.44 / len(states)
        for place, state in enumerate(states):
            axes.plot([0.03 + place * width, 0.03 + (place + 0.88) * width], [scale(energy)] * 2, lw=3,
                      color=colour(state), solid_capstyle="butt")
    ordered = sorted(levels, key=lambda level: level[1])
    heights = spread_apart([scale(energy) for _, energy in ordered], 0.042 * scale(high - low))
    for (states, energy), height in zip(ordered, heights):
        axes.plot([0.475, 0.535], [scale(energy), height], lw=0.7, color=FAINT, clip_on=False)
        axes.text(0.55, height, rf"$E_{{{state_names(states)}}}$ = {scale.text(energy)}", va="center", size=8.5)
    if low < picture.reference_eV < high:
        axes.axhline(scale(picture.reference_eV), lw=0.9, ls=(0, (5, 3)), color=FAINT)
        axes.text(0.985, scale(picture.reference_eV), "background's band edge", size=7.5, color=FAINT, ha="right",
                  va="bottom")
    axes.set(xlim=(0, 1), ylim=(scale(low), scale(high)), xticks=[], ylabel=f"energy ({scale.unit})")
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _diagram_window(picture, energies):
    """The levels, and the background's band edge where it is near enough not to squeeze them."""
    low, high = energies.min(), energies.max()
    extent = (high - low) or 0.02 * abs(high) or 0.01
    reference = picture.reference_eV
    if low - 1.5 * extent < reference < high + 1.5 * extent:
        low, high = min(low, reference), max(high, reference)
    margin = 0.09 * ((high - low) or extent)
    return low - margin, high + margin


def draw_well(picture, figure, count):
    """The potential along x, with each wave function standing on its level."""
    figure.set_size_inches(8.4, 5.4)
    heading(figure, picture, count)
    axes = figure.add_axes((0.09, 0.10, 0.70, 0.74))
    energies = picture.energies_eV[:count]
    low, high = _well_window(picture, energies)
    scale = EnergyScale(energies, (low, high))
    x = picture.fields.axes_nm[0]
    _shade_materials(picture, axes, x)
    if picture.fields.band_edge_eV is not None:
        edge = scale(picture.fields.band_edge_eV)
        axes.fill_between(x, edge, scale(low if picture.upward > 0 else high), color=INK, alpha=0.08, lw=0)
        axes.plot(x, edge, color=INK, lw=1.6)
    _draw_waves(picture, axes, x, energies, scale, scale(high - low))
    _label_levels(axes, energies, scale, scale(low), scale(high))
    axes.set(xlim=(x[0], x[-1]), ylim=(scale(low), scale(high)), xlabel="x (nm)", ylabel=f"energy ({scale.unit})")
    axes.spines[["top", "right"]].set_visible(False)


def _well_window(picture, energies):
    """From below the band edge's bottom to above the levels; walls much higher than that are cut off."""
    up = picture.upward
    levels = up * energies
    edge = up * picture.fields.band_edge_eV if picture.fields.band_edge_eV is not None else levels
    bottom, top = min(edge.min(), levels.min()), levels.max()
    extent = (top - bottom) or 0.01
    top = edge.max() if top < edge.max() < top + 0.9 * extent else top + 0.12 * extent
    window = up * (bottom - 0.07 * extent), up * (top + 0.12 * (top - bottom))
    return min(window), max(window)


def _draw_waves(picture, axes, x, energies, scale, height):
    """Wave functions (densities where those alone were kept) on their levels, all with one factor."""
    wave = picture.fields.psi or picture.fields.density
    waves = [wave(state) for state in range(len(energies))]
    steps = np.abs([scale(energies[b[0]] - energies[a[0]]) for a, b in _pairs(groups(energies))])
    room = min(float(np.median(steps)) if len(steps) else height / 4, 0.16 * height)
    factor = picture.upward * 0.8 * max(room, 0.05 * height) / max(np.abs(values).max() for values in waves)
    for state, (energy, values) in enumerate(zip(energies, waves)):
        base = float(scale(energy))
        axes.axhline(base, lw=0.7, color=colour(state), alpha=0.45)
        axes.fill_between(x, base, base + factor * values, color=colour(state), alpha=0.22, lw=0)
        axes.plot(x, base + factor * values, lw=1.5, color=colour(state))


def _label_levels(axes, energies, scale, low, high):
    states = np.argsort(energies)
    heights = spread_apart([scale(energies[state]) for state in states], 0.045 * (high - low))
    for state, height in zip(states, heights):
        place = (height - low) / (high - low)
        axes.plot([1.0, 1.035], [(scale(energies[state]) - low) / (high - low), place], transform=axes.transAxes,
                  color=colour(state), lw=0.8, clip_on=False)
        axes.text(1.045, place, rf"$E_{{{state}}}$ = {scale.text(energies[state])}", transform=axes.transAxes,
                  va="center", size=9, color=colour(state))


def _shade_materials(picture, axes, x):
    """A tint per material, named above the axes where there is room."""
    cells = picture.fields.materials
    if cells is None or len(np.unique(cells)) < 2:
        return
    ends = [0, *(np.flatnonzero(np.diff(cells)) + 1), len(cells)]
    for first, last in _pairs(ends):
        axes.axvspan(x[first], x[last], color=tint(int(cells[first])), lw=0, zorder=0)
        if x[last] - x[first] > 0.07 * (x[-1] - x[0]):
            axes.text((x[first] + x[last]) / 2, 1.012, plain(picture.material_names[cells[first]]), size=8, color=FAINT,
                      ha="center", va="bottom", transform=axes.get_xaxis_transform())


def _pairs(values):
    return zip(values[:-1], values[1:])
