"""Results in a magnetic field: complex wave functions, their files, and the example of the documentation."""

import re

import numpy as np
import pytest

import qdsim


@pytest.fixture
def turning():
    """A round dot in a magnetic field."""
    return {
        "name": "turning",
        "dimension": 2,
        "materials": {"GaAs": {"mass": 0.067, "band_edge_eV": 0.0}},
        "background": "GaAs",
        "potential": [{"formula_eV": "0.5*k*(x^2+y^2)", "parameters": {"k": 1.40683e-5}}],
        "magnetic_field": {"tesla": [0, 0, 5]},
        "grid": {"x": {"from_nm": -90, "to_nm": 90, "nodes": 37}, "y": {"from_nm": -90, "to_nm": 90, "nodes": 41},
                 "order": 4},
        "states": 3,
    }


def test_wave_functions_in_a_field_are_complex(turning):
    result = qdsim.run(turning, progress=False)
    assert result.is_complex
    assert result.energies_eV == pytest.approx([5.88725e-3, 7.45481e-3, 9.02237e-3], abs=1e-6)
    wx, wy = result.weights_nm
    for i in range(3):
        psi = result.psi(i)
        assert psi.dtype == np.complex128 and psi.shape == (37, 41) and not psi.flags.owndata
        assert np.einsum("ij,i,j", result.density(i), wx, wy) == pytest.approx(1)
        assert result.density(i) == pytest.approx(np.abs(psi) ** 2)
        for j in range(i):
            assert abs(np.einsum("ij,ij,i,j", result.psi(j).conj(), psi, wx, wy)) < 1e-6
    largest = result.psi(2).flat[np.abs(result.psi(2)).argmax()]
    assert largest.real > 0 and abs(largest.imag) < 1e-12


def test_files_keep_both_parts_of_complex_wave_functions(turning, tmp_path):
    h5py = pytest.importorskip("h5py")
    result = qdsim.run(turning, progress=False)
    result.save(tmp_path, plot=True)
    with h5py.File(tmp_path / "turning.vtkhdf") as file:
        fields = file["VTKHDF/PointData"]
        assert "psi_0" not in fields

        def read(name):
            return fields[name][:].reshape(result.shape)

        for i in range(3):
            assert read(f"psi_{i}_re") + 1j * read(f"psi_{i}_im") == pytest.approx(result.psi(i), abs=1e-7)
            assert read(f"density_{i}") == pytest.approx(result.density(i), abs=1e-9)
    assert (tmp_path / "turning.png").stat().st_size > 10000


def test_the_documented_device_runs(root, tmp_path):
    text = (root / "docs/magnetic-field.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "documented.yaml").write_text(block)
    result = qdsim.run(tmp_path / "documented.yaml", progress=False)
    example = qdsim.run(root / "examples/fock_darwin.yaml", progress=False)
    assert result.energies_eV == pytest.approx(example.energies_eV, abs=1e-12)
    kinetic = 0.0380998211615486 / 0.067
    half = kinetic * 1.519267447878626e-3 * 5  # hbar omega_c / 2
    omega = np.sqrt(2 * kinetic * 1.40683e-5 + half**2)
    assert result.energies_eV == pytest.approx([(l + 1) * omega - l * half for l in range(4)], abs=1e-9)
