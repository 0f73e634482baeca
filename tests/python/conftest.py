"""What the Python tests share: small devices, and where the repository is."""

import gc
import logging
import os
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(scope="session")
def root():
    """The folder with docs/ and examples/: of the source tree, or of a bundle."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def source_tree(root):
    if not (root / "CMakeLists.txt").exists():
        pytest.skip("not in the source tree")
    return root


@pytest.fixture
def well():
    """A finite well of 20 nm and 100 meV."""
    return {
        "name": "finite well",
        "dimension": 1,
        "materials": {"well": {"mass": 0.067, "band_edge_eV": 0.0}, "barrier": {"mass": 0.067, "band_edge_eV": 0.1}},
        "background": "barrier",
        "regions": [{"shape": "layer", "axis": "x", "from_nm": -10, "to_nm": 10, "material": "well"}],
        "grid": {"x": {"from_nm": -60, "to_nm": 60, "nodes": 481}, "order": 2},
        "states": 3,
    }


@pytest.fixture
def dome():
    """A small 3D dot with three different numbers of nodes."""
    return {
        "name": "small dome",
        "dimension": 3,
        "materials": {"dot": {"mass": 0.03, "band_edge_eV": 0.0}, "matrix": {"mass": 0.067, "band_edge_eV": 0.6}},
        "background": "matrix",
        "regions": [{"shape": "dome", "base_center_nm": [0, 0, 0], "radius_nm": 8, "height_nm": 5, "material": "dot"}],
        "grid": {
            "x": {"from_nm": -12, "to_nm": 12, "nodes": 25},
            "y": {"from_nm": -12, "to_nm": 12, "nodes": 23},
            "z": {"from_nm": -6, "to_nm": 10, "nodes": 19},
        },
        "states": 4,
    }


@pytest.fixture(autouse=True)
def no_leaks(caplog):
    """The library reports blocks that a context still held when it went."""
    with caplog.at_level(logging.ERROR, logger="qdsim"):
        yield
        gc.collect()
    assert not [record.getMessage() for record in caplog.records if "leak" in record.getMessage()]
