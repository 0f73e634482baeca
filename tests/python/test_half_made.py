"""Objects that hold a handle of the library are whole or not there: what Python can make, of every class of the Cython layer,
does not crash. All of it runs in a second process, which a crash would end."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import qdsim
from qdsim import _core


def classes():
    for module in pkgutil.iter_modules(_core.__path__, "qdsim._core."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, type) and each.__module__ == module.name and not issubclass(each, BaseException):
                yield each


CLASSES = {f"{each.__module__}.{each.__qualname__}": each for each in [*classes(), qdsim.Array]}
# A class that Array derives from cannot be closed to others.
OPEN = {"qdsim._core.made.Made", "qdsim._core.array.Memory"}

TOUCH = """
import importlib, sys
module, name = sys.argv[1].rsplit(".", 1)
kind = getattr(importlib.import_module(module), name)
try:
    made = kind.__new__(kind)
except TypeError as error:
    print("refused:", error)
    sys.exit()
for name in dir(made):
    for use in (lambda: getattr(made, name), lambda: getattr(made, name)(), lambda: memoryview(made), lambda: repr(made)):
        try:
            use()
        except Exception:
            pass
print("whole")
"""


def run(script, *arguments):
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", CLASSES)
def test_new_refuses_or_makes_something_whole(name):
    said = run(TOUCH, name)
    assert said.startswith("refused: ") if name != "qdsim._core.context.Context" else said == "whole\n"


def test_the_refusal_names_what_makes_one():
    assert "Array: made by qdsim.empty, zeros, asarray and from_dlpack" in run(TOUCH, "qdsim.array.Array")
    assert "Result: made by Device.solve" in run(TOUCH, "qdsim._core.device.Result")


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in OPEN])
def test_no_class_derives_from_one_and_sees_what_was_refused(name):
    """Its __del__ would run for an object that was never finished."""
    with pytest.raises(TypeError):
        type("Derived", (CLASSES[name],), {})


IN_A_RING = """
import gc
from qdsim._core.context import Context
from qdsim._core.pool import Pool
from qdsim._core.profile import Profile
for make in (lambda context: Pool(context, None, ""), lambda context: Profile(context, 0.1)):
    for turn in range(20):
        context = Context(device="sim")
        ring = [context, make(context)]
        ring.append(ring)
        if turn % 2:
            ring.reverse()
        del context, ring
        gc.collect()
"""


def test_the_collector_takes_no_context_away_from_its_users():
    assert run(IN_A_RING) == ""
