"""Fixtures of the tests of the command."""

import os
import subprocess
import sys

import pytest

from command import COMMAND, GOOD, Outcome, files_below


@pytest.fixture
def qdsim(tmp_path):
    """qdsim(*arguments) runs the command in a fresh folder."""
    if not COMMAND.exists():
        pytest.fail(f"no command at {COMMAND}: build it, or name it in QDSIM_COMMAND")

    def run(*arguments, environment=None, **options):
        before = set(files_below(tmp_path))
        process = subprocess.run(
            [COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "QDSIM_PYTHON": sys.executable, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )
        return Outcome(process, tmp_path, before)

    return run


@pytest.fixture
def device(tmp_path):
    """device(text) writes device.yaml and returns its name; device() writes the good one."""

    def write(text=GOOD):
        path = tmp_path / "device.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path.name

    return write
