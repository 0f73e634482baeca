"""Pictures: of every dimension, from results and from files, whole or not at all."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

for needed in ("matplotlib", "skimage", "h5py"):
    pytest.importorskip(needed)

import qdsim
from qdsim.plot import outlines, picture, render, solids, style

PNG = b"\x89PNG"


@pytest.fixture
def plane(well):
    well.update(name="plane", dimension=2, states=5)
    well["regions"] = [{"shape": "ellipsoid", "center_nm": [2, 0], "radii_nm": [8, 6], "material": "well"}]
    well["grid"] = {"x": {"from_nm": -20, "to_nm": 20, "nodes": 61}, "y": {"from_nm": -15, "to_nm": 15, "nodes": 41}}
    return well


def with_fields(device, *fields):
    return {**device, "output": {"fields": list(fields), "plot": False}}


ALL = ("psi", "density", "band_edge", "material")


@pytest.mark.parametrize("device", ["well", "plane", "dome"])
def test_every_dimension_from_a_result_and_from_its_files(device, request, tmp_path):
    result = qdsim.run(with_fields(request.getfixturevalue(device), *ALL), tmp_path, progress=False)
    assert result.plot(tmp_path / "direct.png").read_bytes().startswith(PNG)
    (written,) = tmp_path.glob("*.json")
    from_files = picture.from_files(written)
    assert from_files.nodes == result.shape
    assert from_files.material_names == result.material_names
    assert np.array_equal(from_files.energies_eV, result.energies_eV)
    for i in range(len(result)):
        assert from_files.fields.psi(i) == pytest.approx(result.psi(i), abs=1e-6)
    assert from_files.fields.band_edge_eV == pytest.approx(result.band_edge_eV, abs=1e-6)
    assert np.array_equal(from_files.fields.materials, result.materials)
    for axis, name in zip(from_files.fields.axes_nm, ("x_nm", "y_nm", "z_nm")):
        assert np.array_equal(axis, getattr(result, name))


@pytest.mark.parametrize("fields", [("density",), ("psi",), ("band_edge",), ()])
@pytest.mark.parametrize("device", ["well", "plane", "dome"])
def test_whatever_fields_were_kept(device, fields, request, tmp_path):
    qdsim.run(with_fields(request.getfixturevalue(device), *fields), tmp_path, progress=False)
    (written,) = tmp_path.glob("*.json")
    from qdsim import plot

    assert plot.plot(written, tmp_path / "picture.png").read_bytes().startswith(PNG)


def test_graded_grids_are_drawn_too(plane, tmp_path):
    plane["grid"]["x"]["refine"] = [{"from_nm": -6, "to_nm": 10, "factor": 3}]
    result = qdsim.run(with_fields(plane, *ALL), tmp_path, progress=False)
    assert np.ptp(np.diff(result.x_nm)) > 0.1
    assert picture.from_files(tmp_path / "plane.json").fields.psi(1) == pytest.approx(result.psi(1), abs=1e-6)
    assert result.plot(tmp_path / "plane.png").exists()


def test_command(dome, tmp_path):
    qdsim.run(with_fields(dome, *ALL), tmp_path, progress=False)
    command = [sys.executable, "-m", "qdsim.plot", str(tmp_path / "small_dome.json")]
    subprocess.run(command, check=True)
    assert (tmp_path / "small_dome.png").read_bytes().startswith(PNG)
    subprocess.run([*command, "-o", str(tmp_path / "other.svg"), "--states", "1"], check=True)
    assert (tmp_path / "other.svg").read_text().startswith("<?xml")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".png", ".svg", ".vtkhdf"]


@pytest.mark.parametrize("content, message", [
    (None, "none.json"), ("not json", "not a result of qdsim"), ('{"states": []}', "not a result of qdsim")])
def test_command_says_in_one_line_what_is_wrong(content, message, tmp_path):
    path = tmp_path / "none.json"
    if content is not None:
        path.write_text(content)
    done = subprocess.run([sys.executable, "-m", "qdsim.plot", str(path)], capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "none.png").exists()


def broken_fields(path):
    import h5py

    yield "cut off", lambda: path.write_bytes(path.read_bytes()[:100])
    for name, group in (("no axes", "qdsim"), ("no fields", "VTKHDF/PointData")):
        def remove(group=group):
            with h5py.File(path, "r+") as file:
                del file[group]
        yield name, remove
    for name, change in (("a field is gone", None), ("a field is too short", np.zeros(3))):
        def replace(change=change):
            with h5py.File(path, "r+") as file:
                del file["VTKHDF/PointData/psi_1"]
                if change is not None:
                    file["VTKHDF/PointData/psi_1"] = change
        yield name, replace


def test_command_names_the_file_of_fields_that_is_broken(plane, tmp_path):
    result, fields = tmp_path / "plane.json", tmp_path / "plane.vtkhdf"
    qdsim.run(with_fields(plane, *ALL), tmp_path, progress=False)
    whole = fields.read_bytes()
    for name, break_it in broken_fields(fields):
        fields.write_bytes(whole)
        break_it()
        with pytest.raises((qdsim.FileError, qdsim.InputError), match="plane.vtkhdf: "):
            pytest.fail(f"drawn: {name}, {draw_file(result, tmp_path / 'plane.png')}")
    assert not (tmp_path / "plane.png").exists()


def draw_file(*paths):
    from qdsim import plot

    return plot.plot(*paths)


SLOW_SAVE = """
import pathlib, sys, time
import matplotlib.figure
from qdsim.plot.__main__ import main

def save(figure, path, **options):
    pathlib.Path(path).write_text("half")
    print("half", flush=True)
    time.sleep(60)

matplotlib.figure.Figure.savefig = save
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_half_picture(number, well, tmp_path):
    qdsim.run(with_fields(well), tmp_path, progress=False)
    (result,) = tmp_path.iterdir()
    with subprocess.Popen([sys.executable, "-c", SLOW_SAVE, str(result)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "half\n"
        child.send_signal(number)
        _, messages = child.communicate(timeout=60)
    assert child.returncode == 128 + number and messages == ""
    assert list(tmp_path.iterdir()) == [result]


def test_a_folder_that_is_missing_leaves_nothing(well, tmp_path):
    result = qdsim.run(well, progress=False)
    with pytest.raises(qdsim.FileError, match="picture.png: No such file"):
        result.plot(tmp_path / "none" / "picture.png")
    with pytest.raises(qdsim.ArgumentError, match="ends in .png"):
        result.plot(tmp_path / "picture.docx")
    assert list(tmp_path.iterdir()) == []


def test_a_figure_is_returned_without_a_path(well):
    figure = qdsim.run(well, progress=False).plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["x (nm)"]
    assert figure.axes[0].get_ylabel() == "energy (meV)"
    assert "Finite well" in [text.get_text() for text in figure.texts]


def test_holes_hang_from_the_band_edge(well, tmp_path):
    result = qdsim.run(well, progress=False)
    shown = picture.from_result(result)
    assert shown.upward == 1
    shown.energies_eV = -shown.energies_eV
    shown.fields.band_edge_eV = -shown.fields.band_edge_eV
    assert shown.upward == -1
    from matplotlib.figure import Figure

    from qdsim import plot

    figure = plot.draw(shown, Figure())
    low, high = figure.axes[0].get_ylim()
    assert low < -100 and 0 < high < 50


def test_number_of_states(well):
    result = qdsim.run(well, progress=False)
    assert "the lowest 2 of 3 states" in str([text.get_text() for text in result.plot(states=2).texts])
    with pytest.raises(qdsim.ArgumentError, match="states: 4"):
        result.plot(states=4)


def test_energies_get_the_digits_they_need():
    assert style.EnergyScale([0.1, 0.2]).text(0.12345678) == "123.46 meV"
    assert style.EnergyScale([0.1, 0.10002]).text(0.10002) == "100.020 meV"
    assert style.EnergyScale([-1.2, 1.5]).text(-1.2) == "−1.2000 eV"


def test_labels_are_spread_apart():
    heights = style.spread_apart([0.0, 0.01, 0.02, 5.0], 0.5)
    assert np.all(np.diff(heights) >= 0.5 - 1e-12) and heights[3] == 5.0
    assert np.mean(heights[:3]) == pytest.approx(0.01)


def test_degenerate_states_are_grouped():
    assert style.groups(np.array([1.0, 2.0, 2.0001, 3.0])) == [[0], [1, 2], [3]]
    assert style.groups(np.array([1.0])) == [[0]]


def test_a_rendered_ball_is_round_and_in_front():
    axis = np.linspace(-2, 2, 41)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    ball = render.iso_surface(1.5 - np.sqrt(x**2 + y**2 + z**2), 0.5, (axis, axis, axis), (1, 0, 0), opaque=True)
    glass = render.iso_surface(1.5 - np.sqrt(x**2 + y**2 + z**2), 0.0, (axis, axis, axis), (0, 0, 0), opaque=False)
    image, (left, right, bottom, top) = render.render([ball, glass], [(-2, 2)] * 3, 200)
    area = (right - left) * (top - bottom) / image[..., 0].size
    assert (image[..., 3] == 1).sum() * area == pytest.approx(np.pi, rel=0.03)
    assert (image[..., 3] > 0).sum() * area == pytest.approx(np.pi * 1.5**2, rel=0.03)


def test_result_files_without_a_name_use_their_own(tmp_path):
    state = {"energy_eV": 0.1, "position_nm": [0.0], "spread_nm": [1.0], "probability": {"well": 1.0}}
    path = tmp_path / "my_well.json"
    path.write_text(json.dumps({"nodes": [5], "reference_eV": 0.0, "states": [state]}))
    assert picture.from_files(path).name == "my well"


def test_names_are_no_formulas(well, tmp_path):
    well["name"] = "$x^$ \\frac$"
    text = json.dumps({**well, "output": {"plot": False}}).replace('"well"', '"w$\\\\frac$"')
    device = tmp_path / "device.yaml"
    device.write_text(text)
    result = qdsim.run(device, progress=False)
    assert result.plot(tmp_path / "a.png").read_bytes().startswith(PNG)


def disc(potential=0.0, layer=False):
    """Fields of a disc of radius 6 (or a layer one cell thick) in a plane, its band edge averaged around the nodes."""
    axis = np.linspace(-10, 10, 41)
    middles = (axis[1:] + axis[:-1]) / 2
    if layer:
        cells = np.abs(middles - 0.25)[:, None] + 0 * middles < 0.1
    else:
        cells = np.hypot(middles[:, None], middles) < 6
    share = np.clip(0.5 + (6 - np.hypot(axis[:, None], axis)) / 0.5, 0, 1)
    edge = 0.3 * (1 - share) + potential * axis[:, None]
    return picture.Fields((axis, axis), None, None, edge, cells.astype(np.uint8))


def radii(body):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    outlines.draw(axes, body)
    return np.hypot(*np.concatenate([path.vertices for path in axes.collections[0].get_paths()]).T)


def test_outlines_follow_the_averaged_band_edge():
    (body,) = outlines.bodies(disc())
    assert body.share.shape == (41, 41)
    assert radii(body) == pytest.approx(6, abs=0.05)


def test_outlines_follow_the_cells_where_a_potential_bends_the_edge():
    (body,) = outlines.bodies(disc(potential=0.02))
    assert body.share.shape == (40, 40)
    assert radii(body) == pytest.approx(6, abs=0.5)


def test_a_layer_one_cell_thick_is_outlined():
    fields = disc(layer=True)
    fields.band_edge_eV = None
    (body,) = outlines.bodies(fields)
    assert body.share.min() < body.border < body.share.max()


def test_slices_avoid_nodal_planes():
    x = np.linspace(-1, 1, 21)
    density = (x[:, None, None] * np.ones(21)[:, None] * np.exp(-x**2)) ** 2
    assert solids._plane_to_show(density, x, 0.0, 0) in (0, 20)
    assert solids._plane_to_show(density, x, 0.0, 1) == 10


def test_a_rendered_surface_holds_its_share():
    axis = np.linspace(-5, 5, 61)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    density = np.exp(-(x**2 + y**2 + z**2))
    level = solids._enclosing_level(density, (axis, axis, axis))
    assert density[density >= level].sum() / density.sum() == pytest.approx(solids.ENCLOSED, abs=0.01)
