"""The material database and the report on the machine, from Python."""

import pytest

import qdsim


def test_names_include_the_common_ones():
    assert {"GaAs", "InAs", "AlAs", "Si", "InGaAs"} <= set(qdsim.materials())


def test_gaas_at_room_temperature():
    gaas = qdsim.material("GaAs")
    assert gaas.name == "GaAs" and gaas.temperature_K == 300
    assert gaas.gap_eV["Gamma"] == pytest.approx(1.422, abs=0.005) and gaas.valley == gaas.electron.valley == "Gamma"
    assert gaas.electron.mass == pytest.approx((0.067,) * 3, abs=0.005)
    assert gaas.electron.band_edge_eV - gaas.heavy_hole.band_edge_eV == pytest.approx(gaas.gap_eV["Gamma"])
    assert gaas.heavy_hole.mass[2] > gaas.heavy_hole.mass[0] and gaas.heavy_hole.valley is None
    assert "Vurgaftman" in gaas.source


def test_temperature_closes_the_gap():
    assert qdsim.material("GaAs", temperature_K=4.2).gap_eV["Gamma"] == pytest.approx(1.519, abs=0.001)


def test_alloys_by_name_and_by_fraction():
    named, fraction = qdsim.material("In0.53Ga0.47As"), qdsim.material("InGaAs", 0.53)
    assert named == fraction and named.name == "In0.53Ga0.47As"
    assert named.lattice_nm == pytest.approx(0.5869, abs=1e-3)
    assert qdsim.material("InGaAs", 1 / 3).gap_eV["Gamma"] > named.gap_eV["Gamma"]


def test_indirect_gaps():
    assert qdsim.material("AlAs").valley == "X"


def test_what_is_unknown_is_none():
    silicon = qdsim.material("Si")
    assert None in (silicon.kane_energy_eV, silicon.kane_F, silicon.gap_eV["Gamma"], silicon.gap_eV["L"])


def test_unknown_names_bring_the_nearest():
    with pytest.raises(qdsim.InputError, match="InGas.*InGaAs"):
        qdsim.material("InGas")
    with pytest.raises(qdsim.InputError, match="temperature"):
        qdsim.material("GaAs", temperature_K=-1)
    with pytest.raises(qdsim.InputError, match="fraction"):
        qdsim.material("InGaAs", 1.5)


def test_materials_do_not_change():
    with pytest.raises(AttributeError):
        qdsim.material("GaAs").name = "x"


def test_info():
    info = qdsim.info()
    assert isinstance(info, dict) and qdsim.__version__ in str(info)
