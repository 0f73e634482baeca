"""2D: the density of every state, with the materials' outlines (in one material: the classical turning line) and the
level diagram."""

import numpy as np

from . import outlines
from .levels import add_diagram
from .style import EnergyScale, colour, fading, heading


def draw(picture, figure, count):
    x, y = picture.fields.axes_nm
    columns = count if count <= 3 else int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    limits = outlines.extent((x, y), (picture.fields.density(state) for state in range(count)))
    aspect = np.clip(np.ptp(limits[1]) / np.ptp(limits[0]), 0.4, 2.0)
    bodies = outlines.bodies(picture.fields)
    width = min(2.7, 8.5 / columns, 7.0 / rows / aspect)
    height = width * aspect
    total = np.array([columns * (width + 0.22) + 0.75 + 3.5, max(rows * (height + 0.36) + 1.4, 4.0)])
    figure.set_size_inches(*total)
    heading(figure, picture, count)
    scale = EnergyScale(picture.energies_eV[:count])
    top = total[1] - 0.95
    for state in range(count):
        row, column = divmod(state, columns)
        corner = np.array([0.75 + column * (width + 0.22), top - (row + 1) * height - row * 0.36])
        axes = figure.add_axes((*(corner / total), width / total[0], height / total[1]))
        density = picture.fields.density(state)
        add_density(axes, x, y, density, state, density.max())
        for body in bodies:
            outlines.draw(axes, body)
        if not bodies:
            outlines.draw_turning_line(axes, x, y, picture.fields.band_edge_eV, picture.energies_eV[state])
        axes.set_title(f"{state}:  {scale.text(picture.energies_eV[state])}", color=colour(state), pad=4, weight="bold")
        below = state + columns >= count
        axes.set(xlabel="x (nm)" if below else None, ylabel="y (nm)" if column == 0 else None)
        axes.tick_params(labelbottom=below, labelleft=column == 0)
        axes.set(xlim=limits[0], ylim=limits[1])
    left = 0.75 + columns * (width + 0.22) + 0.75
    bottom = min(top - rows * (height + 0.36) + 0.36, 0.45)
    add_diagram(picture, figure.add_axes((left / total[0], bottom / total[1], 2.65 / total[0],
                                          (top - bottom) / total[1])), count)


def add_density(axes, x, y, density, state, most):
    """A density [x, y] in the state's colour, smooth on any rectilinear grid; `most` gets the darkest shade."""
    from matplotlib.image import NonUniformImage

    image = NonUniformImage(axes, extent=(x[0], x[-1], y[0], y[-1]), interpolation="bilinear", cmap=fading(state))
    image.set_data(x, y, np.ascontiguousarray(density.T))
    image.set_clim(0, most)
    axes.add_image(image)
