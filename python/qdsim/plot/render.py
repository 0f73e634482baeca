"""A small renderer: smooth opaque surfaces inside translucent ones, seen by an orthographic camera.

matplotlib's own 3D sorts triangles, which shows seams and stairs; this one keeps the nearest point of every pixel.
"""

from dataclasses import dataclass

import numpy as np

# The camera stands in front, to the right and above; the lamp above its left shoulder.
RIGHT = np.array([0.848, 0.530, 0.0])
TOWARDS = np.array([0.491, -0.786, 0.375])
UP = np.cross(TOWARDS, RIGHT)
_LAMP = np.array([-0.20, -0.62, 0.76])
_SPARKLE = (_LAMP + TOWARDS) / np.linalg.norm(_LAMP + TOWARDS)
_CHUNK = 2048


@dataclass
class Surface:
    corners: np.ndarray  # [corner, axis]
    normals: np.ndarray  # [corner, axis], outward
    faces: np.ndarray    # [face, 3], corner numbers
    colour: np.ndarray   # red, green, blue
    opaque: bool


def iso_surface(values, level, axes_nm, colour, opaque):
    """The surface values = level, outward where the values fall; in nm."""
    from skimage.measure import marching_cubes

    corners, faces, normals, _ = marching_cubes(values, level)
    places = np.empty(corners.shape)
    for axis, coordinates in enumerate(axes_nm):
        index = np.arange(len(coordinates))
        places[:, axis] = np.interp(corners[:, axis], index, coordinates)
        normals[:, axis] /= np.interp(corners[:, axis], index, np.gradient(coordinates))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return Surface(places, normals, faces, np.asarray(colour), opaque)


def render(surfaces, limits, width):
    """An image [row, column, rgba] of the box `limits`, `width` pixels wide, and its extent (left, right, bottom, top)
    in nm along RIGHT and UP."""
    corners = np.array(np.meshgrid(*limits)).reshape(3, -1).T
    left, right = np.ptp(corners @ RIGHT) * np.array([-0.5, 0.5]) + np.mean(corners @ RIGHT)
    bottom, top = np.ptp(corners @ UP) * np.array([-0.5, 0.5]) + np.mean(corners @ UP)
    scale = width / (right - left)
    shape = (int((top - bottom) * scale) + 1, width + 1)
    image = np.zeros((*shape, 4))
    solid_depth, solid, colours = _nearest([each for each in surfaces if each.opaque], scale, left, bottom, shape)
    glass_depth, glass, greys = _nearest([each for each in surfaces if not each.opaque], scale, left, bottom, shape)
    seen = np.isfinite(solid_depth)
    image[seen] = _lit(solid[seen], colours[seen])
    seen = glass_depth > solid_depth
    # Clear where it faces the camera, dark at the rim.
    opacity = 0.14 + 0.60 * (1 - np.clip(glass[seen] @ TOWARDS, 0, 1)) ** 3
    image[seen] = _over(greys[seen], opacity[:, None], image[seen])
    return image, (left, right, bottom, top)


def _nearest(surfaces, scale, left, bottom, shape):
    """Depth, normal and colour of the nearest point in every pixel; depth -inf where there is none."""
    depth = np.full(shape, -np.inf)
    normals, colours = np.zeros((*shape, 3)), np.zeros((*shape, 3))
    for surface in surfaces:
        pixels = np.column_stack([(surface.corners @ RIGHT - left) * scale, (surface.corners @ UP - bottom) * scale,
                                  surface.corners @ TOWARDS])
        facing = surface.normals[surface.faces].sum(axis=1) @ TOWARDS > 0
        for points, directions in _samples(pixels, surface.normals, surface.faces[facing]):
            column, row = points[:, 0].astype(int), points[:, 1].astype(int)
            inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
            column, row, near, directions = column[inside], row[inside], points[inside, 2], directions[inside]
            np.maximum.at(depth, (row, column), near)
            wins = near >= depth[row, column]
            normals[row[wins], column[wins]] = directions[wins]
            colours[row[wins], column[wins]] = surface.colour
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-30)
    return depth, normals, colours


def _samples(pixels, normals, faces):
    """Points less than a pixel apart on every face, with their normals, chunk by chunk."""
    sides = pixels[faces][:, :, :2] - pixels[np.roll(faces, 1, axis=1)][:, :, :2]
    parts = np.ceil(np.abs(sides).max(axis=(1, 2)) / 0.8).astype(int) + 1
    for count in np.unique(parts):
        i, j = np.meshgrid(np.arange(count + 1), np.arange(count + 1))
        kept = i + j <= count
        weights = np.column_stack([i[kept], j[kept], count - i[kept] - j[kept]]) / count
        chosen = faces[parts == count]
        for first in range(0, len(chosen), _CHUNK):
            chunk = chosen[first:first + _CHUNK]
            yield ((weights @ pixels[chunk]).reshape(-1, 3), (weights @ normals[chunk]).reshape(-1, 3))


def _lit(normals, colours):
    """Diffuse light and a highlight."""
    diffuse = (0.66 + 0.40 * normals @ _LAMP)[:, None]
    highlight = 0.30 * (np.clip(normals @ _SPARKLE, 0, 1) ** 40)[:, None]
    lit = np.clip(diffuse * colours * (1 - highlight) + highlight, 0, 1)
    return np.column_stack([lit, np.ones(len(lit))])


def _over(colours, opacity, below):
    """A translucent colour over what lies below."""
    alpha = opacity + below[:, 3:] * (1 - opacity)
    mixed = (colours * opacity + below[:, :3] * below[:, 3:] * (1 - opacity)) / alpha
    return np.column_stack([mixed, alpha])
