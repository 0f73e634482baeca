"""3D: iso-surfaces, slices through the mean position, and the level diagram."""

import numpy as np

from . import outlines, render
from .levels import add_diagram
from .planes import add_density
from .style import FAINT, EnergyScale, colour, heading

# The surface drawn holds this share of the probability.
ENCLOSED = 0.6
_MOST_SAMPLES = 72
_PIXELS = 700


def draw(picture, figure, count):
    axes_nm = picture.fields.axes_nm
    limits = outlines.extent(axes_nm, (picture.fields.density(state) for state in range(count)))
    size = np.array([high - low for low, high in limits])
    near = [(low + 0.12 * length, high - 0.12 * length) for (low, high), length in zip(limits, size)]
    width = min(2.3, 12.0 / count)
    heights = width * np.clip(np.array([size[2], size[1]]) / size[0], 0.35, 1.6)
    solid = width * min(size @ np.abs(render.UP) / (size @ np.abs(render.RIGHT)), 1.5)
    total = np.array([0.8 + count * (width + 0.12) + 3.5, 1.0 + solid + heights.sum() + 1.05])
    figure.set_size_inches(*total)
    heading(figure, picture, count)
    scale = EnergyScale(picture.energies_eV[:count])
    top = total[1] - 0.95
    bodies = outlines.bodies(picture.fields)
    for state in range(count):
        left = 0.8 + state * (width + 0.12)
        density = picture.fields.density(state)
        axes = figure.add_axes((left / total[0], (top - solid) / total[1], width / total[0], solid / total[1]))
        _add_surface(picture, axes, state, density, bodies, near)
        axes.set_title(f"{state}:  {scale.text(picture.energies_eV[state])}", color=colour(state), weight="bold", pad=5)
        for plane, normal in enumerate((1, 2)):
            bottom = top - solid - 0.15 - heights[: plane + 1].sum() - 0.45 * plane
            axes = figure.add_axes((left / total[0], bottom / total[1], width / total[0], heights[plane] / total[1]))
            _add_slice(picture, axes, state, density, bodies, normal, limits)
    left = 0.8 + count * (width + 0.12) + 0.75
    add_diagram(picture, figure.add_axes((left / total[0], 0.5 / total[1], 2.6 / total[0], 1 - 1.45 / total[1])), count)


def _add_slice(picture, axes, state, density, bodies, normal, limits):
    """The density in the plane across `normal` through the state's mean position."""
    axes_nm = picture.fields.axes_nm
    across, along = 0, 3 - normal
    node = _plane_to_show(density, axes_nm[normal], picture.position_nm[state][normal], normal)
    place = axes_nm[normal][node]
    add_density(axes, axes_nm[across], axes_nm[along], density.take(node, normal), state, density.max())
    for body in bodies:
        outlines.draw(axes, body.plane(normal, place))
    first = state == 0
    axes.set(xlim=limits[across], ylim=limits[along], xlabel="x (nm)",
             ylabel=f"{'xyz'[along]} (nm)" if first else None)
    axes.tick_params(labelleft=first)
    # Adding 0 turns -0.0 into 0.0.
    axes.text(0.04, 0.95, f"{'xyz'[normal]} = {round(float(place), 1) + 0.0:.1f} nm".replace("-", "−"),
              transform=axes.transAxes, size=7.5, color=FAINT, va="top")


def _plane_to_show(density, coordinates, mean, normal):
    """The node nearest to the mean position; where that is a nodal plane, the densest."""
    node = int(np.abs(coordinates - mean).argmin())
    if density.take(node, normal).max() > 0.1 * density.max():
        return node
    return int(density.max(axis=tuple(axis for axis in range(3) if axis != normal)).argmax())


def _add_surface(picture, axes, state, density, bodies, limits):
    """Iso-surfaces of the wave function, its two signs in two shades, inside the materials' translucent outlines."""
    inner = [_within(axis, limit) for axis, limit in zip(picture.fields.axes_nm, limits)]
    surfaces = [*_lobes(picture, state, density, inner), *_outlines(bodies, limits)]
    image, extent = render.render(surfaces, limits, _PIXELS)
    axes.imshow(image, extent=extent, origin="lower", interpolation="antialiased", zorder=2)
    _draw_floor(axes, limits)
    axes.set_axis_off()


def _within(axis, limit):
    """The nodes inside the limits, thinned to what a small picture can show."""
    first, last = np.searchsorted(axis, limit)
    last = min(last + 1, len(axis))
    return slice(int(first), int(last), max(1, -(-(last - first) // _MOST_SAMPLES)))


def _lobes(picture, state, density, inner):
    from matplotlib.colors import to_rgb

    axes_nm = [axis[nodes] for axis, nodes in zip(picture.fields.axes_nm, inner)]
    full = np.array(to_rgb(colour(state)))
    density = density[tuple(inner)]
    level = _enclosing_level(density, axes_nm)
    shades = [(density, full)]
    if picture.fields.psi is not None:
        psi, level = picture.fields.psi(state)[tuple(inner)], np.sqrt(level)
        shades = [(psi, full), (-psi, 0.45 * full + 0.55)]
    return [render.iso_surface(values, level, axes_nm, shade, opaque=True) for values, shade in shades
            if values.max() > level]


def _enclosing_level(density, axes_nm):
    """The density whose iso-surface holds the share ENCLOSED of the probability."""
    x, y, z = (np.gradient(axis) for axis in axes_nm)
    weights = (density * x[:, None, None] * y[:, None] * z).ravel()
    order = np.argsort(density, axis=None)[::-1]
    held = np.cumsum(weights[order])
    return float(density.ravel()[order][np.searchsorted(held, ENCLOSED * held[-1])])


def _outlines(bodies, limits):
    surfaces = []
    for body in bodies:
        inner = tuple(_within(axis, limit) for axis, limit in zip(body.axes_nm, limits))
        share = body.share[inner]
        if share.min() < body.border < share.max():
            axes_nm = [axis[points] for axis, points in zip(body.axes_nm, inner)]
            surfaces.append(render.iso_surface(share, body.border, axes_nm, (0.30, 0.33, 0.38), opaque=False))
    return surfaces


def _draw_floor(axes, limits):
    """The bottom of what is shown, with the names of its sides."""
    (x0, x1), (y0, y1), (z0, _) = limits
    floor = np.array([[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0], [x0, y0, z0]])
    axes.plot(floor @ render.RIGHT, floor @ render.UP, color=FAINT, lw=0.6, zorder=0)
    for name, place in (("x", (floor[0] + floor[1]) / 2), ("y", (floor[1] + floor[2]) / 2)):
        axes.annotate(name, (place @ render.RIGHT, place @ render.UP), (0, -3), textcoords="offset points",
                      size=8, color=FAINT, ha="center", va="top")
