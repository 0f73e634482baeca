"""Results of open devices: widths, lifetimes, complex wave functions, and their picture."""

import numpy as np
import pytest

import qdsim


def test_the_double_barrier(root):
    result = qdsim.run(root / "examples/double_barrier.yaml", progress=False)
    energies = result.energies_eV - 0.5j * result.widths_eV
    assert energies == pytest.approx([0.0885015279 - 0.00235330792j, 0.3164394388 - 0.0306592079j], abs=1e-9)
    assert result.lifetimes_s == pytest.approx(6.582119569e-16 / result.widths_eV)
    assert (result.sensitivities_eV < 2e-8).all()
    assert result.is_complex and result.psi(0).dtype == np.complex128


def test_closed_devices_have_no_widths(root):
    result = qdsim.run(root / "examples/well_1d.yaml", progress=False)
    assert result.widths_eV is None and result.lifetimes_s is None and result.sensitivities_eV is None


def test_it_can_be_drawn(root, tmp_path):
    pytest.importorskip("matplotlib")
    result = qdsim.run(root / "examples/double_barrier.yaml", progress=False)
    result.plot(tmp_path / "open.png")
    assert (tmp_path / "open.png").read_bytes().startswith(b"\x89PNG")
