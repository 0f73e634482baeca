"""Results: conventions, arrays without copies, and what keeps them alive."""

import gc
import weakref

import numpy as np
import pytest

import qdsim


@pytest.fixture
def result(dome):
    return qdsim.run(dome, progress=False)


def norm(result, values):
    wx, wy, wz = result.weights_nm
    return np.einsum("ijk,i,j,k", values, wx, wy, wz)


def test_arrays_are_shaped_like_the_grid(result):
    assert len(result) == 4 and result.dimension == 3 and result.shape == (25, 23, 19)
    assert result.energies_eV.shape == result.residuals_eV.shape == (4,)
    assert result.psi(0).shape == result.density(0).shape == result.band_edge_eV.shape == (25, 23, 19)
    assert result.materials.shape == (24, 22, 18)
    assert [len(axis) for axis in (result.x_nm, result.y_nm, result.z_nm)] == [25, 23, 19]
    assert result.position_nm(0).shape == result.spread_nm(0).shape == (3,)


def test_states_are_orthonormal_with_the_weights(result):
    for i in range(4):
        for j in range(i + 1):
            assert norm(result, result.psi(i) * result.psi(j)) == pytest.approx(float(i == j), abs=1e-6)


def test_axes_run_in_the_order_x_y_z(result):
    x, y, z = np.meshgrid(result.x_nm, result.y_nm, result.z_nm, indexing="ij")
    mean = [norm(result, result.density(0) * axis) for axis in (x, y, z)]
    assert result.position_nm(0) == pytest.approx(mean, abs=1e-9)
    assert 0.5 < mean[2] < 4
    spread = [np.sqrt(norm(result, result.density(0) * (axis - at) ** 2)) for axis, at in zip((x, y, z), mean)]
    assert result.spread_nm(0) == pytest.approx(spread, rel=1e-9)


def test_materials_are_those_of_the_cells(result):
    names = result.material_names
    assert sorted(names) == ["dot", "matrix"]
    assert names[result.materials[12, 11, 8]] == "dot"
    assert names[result.materials[0, 0, 0]] == "matrix"
    probability = result.probability(0)
    assert set(probability) == set(names) and sum(probability.values()) == pytest.approx(1)
    assert probability["dot"] > 0.5


def test_reference_is_the_background(result):
    assert result.reference_eV == 0.6
    assert result.band_edge_eV[0, 0, 0] == 0.6


def test_arrays_are_views_and_read_only(result):
    for view in (result.energies_eV, result.residuals_eV, result.psi(1), result.x_nm, result.band_edge_eV,
                 result.materials, result.position_nm(0), result.weights_nm[0]):
        assert not view.flags.owndata and not view.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    assert np.shares_memory(result.psi(1), result.psi(1))
    copy = result.psi(1).copy()
    copy[...] = 0
    assert result.psi(1).any()


def test_arrays_outlive_the_result(dome):
    result = qdsim.run(dome, progress=False)  # not the fixture, which pytest holds on to
    psi, energies = result.psi(2), result.energies_eV
    expected, expected_energies = psi.copy(), energies.copy()
    del result
    gc.collect()
    _overwrite_freed_memory(psi.nbytes)
    assert np.array_equal(psi, expected) and np.array_equal(energies, expected_energies)


def test_the_last_array_releases_the_result(dome):
    result = qdsim.run(dome, progress=False)
    core = result._core
    psi = result.psi(0)
    gone = weakref.ref(result)
    del result
    assert gone() is None
    context = weakref.ref(core.context)
    del core
    gc.collect()
    assert context() is not None
    view = psi[3:, ::2]
    del psi
    assert context() is not None
    del view
    gc.collect()
    assert context() is None


def test_the_result_outlives_its_arrays_and_its_device(well):
    device = qdsim.Device(well)
    result = device.solve(progress=False)
    psi = result.psi(0)
    expected = psi.copy()
    del psi, device
    gc.collect()
    _overwrite_freed_memory(expected.nbytes)
    assert np.array_equal(result.psi(0), expected)


def test_reference_cycles_are_collected(well):
    device = qdsim.Device(well)
    context = weakref.ref(device._core.context)
    kept = []
    result = device.solve(progress=lambda *report, held=kept: None)
    kept += [result, result.psi(0), device, kept]
    del kept, result, device
    gc.collect()
    assert context() is None


def _overwrite_freed_memory(size):
    blocks = [np.full(size // 8, 7.0) for _ in range(20)]
    assert blocks[0][0] == 7.0


def test_state_numbers(result):
    assert np.array_equal(result.psi(-1), result.psi(3))
    assert np.array_equal(result.psi(np.int64(2)), result.psi(2))
    for wrong in (4, -5):
        with pytest.raises(IndexError, match=f"no state {wrong}: this result has 4"):
            result.psi(wrong)
    with pytest.raises(TypeError):
        result.psi(1.0)


def test_axes_beyond_the_dimension(well):
    result = qdsim.run(well, progress=False)
    assert len(result.x_nm) == 481
    with pytest.raises(AttributeError, match="1D result has no y axis"):
        result.y_nm


def test_repr_is_the_table_of_states(result):
    lines = repr(result).splitlines()
    assert '"small dome": 3D, 25 x 23 x 19 nodes, 4 states' in lines[0]
    assert "energy_eV" in lines[1] and "dot" in lines[1] and len(lines) == 6
    assert f"{result.energies_eV[3]:.6f}" in lines[5]


def test_dict_and_json(result):
    content = result.to_dict()
    assert content["nodes"] == [25, 23, 19] and content["converged"] is True
    assert [state["energy_eV"] for state in content["states"]] == list(result.energies_eV)
    assert content["states"][1]["probability"] == pytest.approx(result.probability(1))
    assert result.json().startswith("{")


def test_statistics(result):
    statistics = result.statistics
    assert statistics["iterations"] >= 1 and statistics["total_s"] > 0
    assert statistics["operator_applications"] >= len(result)
    assert statistics["preconditioner"] in ("multigrid", "fast diagonalisation")


def test_save(result, tmp_path):
    written = result.save(tmp_path / "new")
    assert written == tmp_path / "new" / "small_dome.json"
    assert written.read_text().startswith("{")
    assert not (tmp_path / "new" / "small_dome.png").exists()


def test_results_are_made_by_solving_only(result):
    with pytest.raises(TypeError, match="Device.solve"):
        type(result._core)()


def test_potential_and_electrons_of_a_self_consistent_device(root):
    result = qdsim.run(root / "examples/self_consistent_well.yaml", progress=False)
    (wx,) = result.weights_nm
    assert result.potential_V.shape == result.electron_density_cm3.shape == (161,)
    assert result.electron_density_cm3 @ wx == pytest.approx(5e17 * 20)
    assert result.occupations[:3] == pytest.approx([7.45113456e11, 2.36076799e11, 1.8389470e10], rel=1e-7)
    assert 1e3 * (result.energies_eV[0] - result.fermi_level_eV) == pytest.approx(-15.2030444, abs=1e-6)
    assert result.band_edge_eV == pytest.approx(-result.potential_V)


def test_other_devices_have_no_potential(result):
    assert result.potential_V is None and result.electron_density_cm3 is None and result.occupations is None
    assert np.isnan(result.fermi_level_eV)
