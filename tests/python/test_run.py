"""Devices from files and dicts."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest

import qdsim

EXACT_EV = [9.092442e-3, 35.604055e-3, 75.937436e-3]


def test_dict(well):
    result = qdsim.run(well, progress=False)
    assert result.energies_eV == pytest.approx(EXACT_EV, abs=2e-6)
    assert np.all(result.residuals_eV < 1e-5)
    assert result.name == "finite well"


@pytest.mark.parametrize("as_type", [str, pathlib.Path, os.fsencode])
def test_file(well, tmp_path, as_type):
    path = tmp_path / "wéll.yaml"
    path.write_text(json.dumps(well))
    assert qdsim.run(as_type(path), progress=False).energies_eV == pytest.approx(EXACT_EV, abs=2e-6)


def test_names_of_files_need_not_be_utf8(well, tmp_path):
    folder = os.fsencode(tmp_path)
    del well["name"]
    with open(folder + b"/well \xff.yaml", "w") as file:
        json.dump(well, file)
    device = qdsim.Device(folder + b"/well \xff.yaml", device="cpu")
    assert device.name == "well \ufffd" and "well \ufffd" in repr(device)
    written = device.solve(progress=False).save(folder + b"/out \xfe")
    assert os.fsencode(written) == folder + b"/out \xfe/well \xff.json"
    assert json.loads(written.read_text())["name"] == "well \ufffd"


def test_numpy_values_stand_in_a_dict(well):
    well["grid"]["x"]["nodes"] = np.int32(241)
    well["materials"]["barrier"]["band_edge_eV"] = np.float32(0.25)
    well["regions"] = tuple(well["regions"])
    result = qdsim.run(well, progress=False)
    assert result.shape == (241,) and result.reference_eV == 0.25


def test_a_dict_is_not_changed(well):
    before = json.dumps(well)
    qdsim.run(well, set={"states": 1}, progress=False)
    assert json.dumps(well) == before


@pytest.mark.parametrize("changes", [["grid.x.nodes=241", "states=2"], {"grid.x.nodes": 241, "states": np.int64(2)}])
def test_set(well, changes):
    result = qdsim.run(well, set=changes, progress=False)
    assert result.shape == (241,) and len(result) == 2


def test_set_one_text(well):
    assert len(qdsim.run(well, set="states=1", progress=False)) == 1


@pytest.mark.parametrize("changes", [["states"], [3]])
def test_set_refuses_what_is_no_assignment(well, changes):
    with pytest.raises(qdsim.ArgumentError, match="grid.x.nodes=201"):
        qdsim.run(well, set=changes)


def test_device_before_solving(well):
    device = qdsim.Device(well)
    cost = device.cost
    assert (cost.dimension, cost.order, cost.states, cost.nodes, cost.unknowns) == (1, 2, 3, (481,), 479)
    assert cost.memory_bytes > 0 and cost.seconds > 0
    assert "band_edge_eV" in device.configuration
    assert '"finite well": 1D, 481 nodes, order 2, 479 unknowns, 3 states' in repr(device)
    first, second = device.solve(progress=False), device.solve(progress=False)
    assert np.array_equal(first.energies_eV, second.energies_eV)


def test_unknown_material_names_the_nearest(well):
    well["regions"][0]["material"] = "wel"
    with pytest.raises(qdsim.InputError, match="finite_well.*wel.*did you mean.*well"):
        qdsim.run(well)


def test_shared_wrong_file_names_its_line(well, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("dimension: 1\nmaterials:\n  well: {mass: 0.067, band_edge_eV: 0.0}\nbackground: wel\n"
                    "grid:\n  x: {from_nm: 0, to_nm: 25, nodes: 41}\n")
    with pytest.raises(ValueError, match=r"wrong\.yaml:4: .*wel"):
        qdsim.run(path)


def test_missing_file(tmp_path):
    with pytest.raises(qdsim.FileError, match="none.yaml") as caught:
        qdsim.run(tmp_path / "none.yaml")
    assert isinstance(caught.value, OSError)


def test_what_no_dict_can_hold(well):
    well["regions"][0]["to_nm"] = np.nan
    with pytest.raises(qdsim.InputError, match=r"regions\[0\]\.to_nm: nan is not a finite number"):
        qdsim.run(well)
    well["regions"][0]["to_nm"] = {1, 2}
    with pytest.raises(qdsim.InputError, match=r"regions\[0\]\.to_nm: a set cannot be part"):
        qdsim.run(well)


def test_budget(well):
    with pytest.raises(qdsim.BudgetError) as caught:
        qdsim.run(well, memory_limit="20 kB")
    assert isinstance(caught.value, MemoryError) and caught.value.status == "QDS_ERROR_BUDGET"


def test_what_passes_the_limit_goes_to_files(well):
    larger = {"grid.x.nodes": 40001, "states": 6}
    inside = qdsim.run(well, set=larger, threads=1, device="cpu", progress=False)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:  # on a disk
        outside = qdsim.run(well, set=larger, threads=1, device="cpu", progress=False, memory_limit="16MiB",
                            scratch=pathlib.Path(scratch))
        assert np.array_equal(outside.energies_eV, inside.energies_eV)
        assert np.array_equal(outside.psi(0), inside.psi(0))
    for scratch, reason in [("", "the limit is 16 MiB"), ("/no/folder", '"/no/folder"')]:
        with pytest.raises(qdsim.BudgetError, match=reason):
            qdsim.run(well, set=larger, device="cpu", progress=False, memory_limit="16MiB", scratch=scratch)


@pytest.mark.parametrize("limit", [0, -1, "2 apples", "", 2**70])
def test_memory_limits_that_make_no_sense(well, limit):
    with pytest.raises(qdsim.ArgumentError, match="memory_limit"):
        qdsim.run(well, memory_limit=limit)


def test_threads(well):
    assert np.array_equal(qdsim.run(well, threads=1, progress=False).energies_eV,
                          qdsim.run(well, threads=1, progress=False).energies_eV)
    with pytest.raises(qdsim.ArgumentError, match="threads -1"):
        qdsim.run(well, threads=-1)


@pytest.mark.parametrize("first", ["matplotlib.ft2font, qdsim", "qdsim, matplotlib.ft2font"])
def test_formulas_are_read_beside_other_libraries_of_cpp(first):
    """The parser of formulas is C++, whose runtime a process has once."""
    pytest.importorskip("matplotlib")
    script = f"""
import {first}
well = {{"name": "w", "dimension": 1, "materials": {{"m": {{"mass": 0.067, "band_edge_eV": 0.0}}}}, "background": "m",
        "potential": [{{"formula_eV": "0.5*1e-4*x^2"}}], "grid": {{"x": {{"from_nm": -60, "to_nm": 60, "nodes": 121}}}},
        "states": 1}}
print(len(qdsim.run(well, progress=False, device="cpu")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.stdout == "1\n", done.stderr


def test_output(dome, tmp_path):
    pytest.importorskip("skimage")  # for the picture
    dome["output"] = {"fields": ["psi", "density", "band_edge", "material"]}
    qdsim.run(dome, tmp_path / "a" / "b", progress=False)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "small_dome.json", "small_dome.png", "small_dome.vtkhdf"]


def test_output_without_a_picture(well, tmp_path):
    well["output"] = {"plot": False}
    qdsim.run(well, tmp_path, progress=False)
    assert (tmp_path / "finite_well.json").exists() and not (tmp_path / "finite_well.png").exists()


def test_output_that_cannot_be_written_is_refused_first(well, tmp_path):
    (tmp_path / "file").write_text("")

    def report(*_):
        raise AssertionError("it solved first")

    with pytest.raises(qdsim.FileError, match="no folder"):
        qdsim.run(well, tmp_path / "file" / "out", progress=report)


def test_a_refused_device_leaves_nothing_behind(well, tmp_path):
    well["dimension"] = 4
    with pytest.raises(qdsim.InputError):
        qdsim.run(well, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nul_characters(well):
    with pytest.raises(ValueError, match="NUL"):
        qdsim.run("a\0b")
