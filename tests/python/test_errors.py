"""Exceptions follow the library's list of statuses; importing is quick."""

import re
import subprocess
import sys

import pytest

import qdsim


def statuses(root):
    header = (root / "include/qdsim/status.h").read_text()
    return re.findall(r"X\(QDS_ERROR_(\w+), \d+, \d+,", header)


def test_every_status_has_its_exception(source_tree):
    names = statuses(source_tree)
    assert len(names) >= 10
    by_status = {getattr(qdsim, name).status: getattr(qdsim, name) for name in qdsim.__all__
                 if isinstance(getattr(qdsim, name), type) and issubclass(getattr(qdsim, name), qdsim.Error)}
    for name in names:
        if name != "INTERRUPTED":
            assert f"QDS_ERROR_{name}" in by_status, name


@pytest.mark.parametrize("name, builtin", [
    ("InputError", ValueError), ("ArgumentError", ValueError), ("FileError", OSError),
    ("OutOfMemoryError", MemoryError), ("BudgetError", MemoryError), ("ConvergenceError", RuntimeError), ("NumericError", ArithmeticError),
    ("UnsupportedError", RuntimeError), ("InternalError", RuntimeError)])
def test_exceptions_are_pythons_own_too(name, builtin):
    each = getattr(qdsim, name)
    assert issubclass(each, builtin) and issubclass(each, qdsim.Error)
    assert each.__module__ == "qdsim" and each.__name__ == name and each.__doc__


def test_errors_name_their_source(tmp_path):
    with pytest.raises(qdsim.FileError) as caught:
        qdsim.run(tmp_path / "none.yaml")
    assert re.search(r"\.c:\d+$", caught.value.source)
    assert caught.value.errno == caught.value.native or caught.value.native == 0


@pytest.mark.parametrize("arguments, text", [
    ({"memory_limit": "4MiB"}, "raise the memory limit"),
    ({"memory_limit": "16MiB", "scratch": ""}, "raise the memory limit"),
    ({"memory_limit": "16MiB", "scratch": "nowhere"}, "name another scratch folder, or raise the memory limit")])
def test_memory_errors_name_no_option_of_the_command(dome, arguments, text):
    dome["grid"] = {axis: {"from_nm": -12, "to_nm": 12, "nodes": 101} for axis in "xyz"}
    with pytest.raises(qdsim.BudgetError, match=text) as caught:
        qdsim.run(dome, device="cpu", progress=False, **arguments)
    assert "--" not in str(caught.value)


def test_import_is_light():
    heavy = ["matplotlib", "h5py", "skimage", "scipy", "tqdm", "logging", "pandas"]
    code = f"import sys, qdsim; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(source_tree):
    assert f"project(qdsim VERSION {qdsim.__version__} " in (source_tree / "CMakeLists.txt").read_text()
