"""The trace of a run's memory: when there is one, and what its name must not be."""

import json
import os
import signal
import struct
import subprocess
import sys

import pytest

from command import COMMAND, GOOD, files_below

# The last record of a whole trace.
END = 4


def read_trace(path):
    """The records behind the header of a trace that must be whole."""
    header, records = path.read_bytes().split(b"\n\n", 1)
    assert header.startswith(b"qdsim memory trace 2\n")
    assert len(records) % 32 == 0
    kind, _, _, _, blocks, events, _ = struct.unpack("<BBHIQQQ", records[-32:])
    assert kind == END and 0 < blocks < events <= len(records) // 32 - 1
    return records


def test_trace_is_a_file(qdsim, device, tmp_path):
    outcome = qdsim("run", device(), "--memory-trace", "run.trace")
    outcome.assert_status(0)
    assert "wrote run.trace\n" in outcome.stdout and outcome.stderr == ""
    assert b"hamiltonian" in read_trace(tmp_path / "run.trace")


def test_trace_changes_no_result(qdsim, device):
    plain, traced = qdsim("run", device(), "--json"), qdsim("run", device(), "--json", "--memory-trace", "run.trace")
    energies = [[state["energy_eV"] for state in json.loads(run.stdout)["states"]] for run in (plain, traced)]
    assert energies[0] == energies[1]


def test_trace_that_cannot_be_written_is_an_error(qdsim, device):
    qdsim("run", device(), "--memory-trace", "nowhere/run.trace").assert_refused(3, "nowhere")


@pytest.mark.parametrize("folder", ["new", "new/er", "new/"])
def test_trace_in_an_output_folder_that_is_made(qdsim, device, tmp_path, folder):
    outcome = qdsim("run", device(), "-o", folder, "--memory-trace", f"{folder}/run.trace")
    outcome.assert_status(0)
    read_trace(tmp_path / folder / "run.trace")
    assert (tmp_path / folder / "device.json").exists()
