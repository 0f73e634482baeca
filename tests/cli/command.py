"""Running the command and looking at what it did; shared by the tests of this folder."""

import os
import pathlib
import pty
import resource
import select
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = pathlib.Path(os.environ.get("QDSIM_COMMAND", ROOT / "build/release/bin/qdsim"))

# Line numbers in messages are those of this text.
GOOD = """\
name: test device
dimension: 1
materials:
  well: {mass: 0.067, band_edge_eV: 0.0}
  barrier: {mass: 0.067, band_edge_eV: 0.1}
background: barrier
regions:
  - {shape: layer, axis: x, from_nm: -10, to_nm: 10, material: well}
grid:
  x: {from_nm: -30, to_nm: 30, nodes: 121}
  order: 2
states: 2
output: {plot: false}
"""

# Does not get done before the signal arrives: it iterates towards a tolerance below rounding.
LONG = """\
dimension: 3
materials:
  well: {mass: 0.067, band_edge_eV: 0.0}
  barrier: {mass: 0.09, band_edge_eV: 0.3}
background: barrier
regions:
  - {shape: ellipsoid, center_nm: [0, 0, 0], radii_nm: [9, 7, 5], material: well}
grid:
  x: {from_nm: -20, to_nm: 20, nodes: 101}
  y: {from_nm: -20, to_nm: 20, nodes: 101}
  z: {from_nm: -20, to_nm: 20, nodes: 101}
states: 6
tolerance_eV: 1.0e-30
output: {plot: false}
"""

# Options for the good device with which its solve ends with status 4: the tolerance lies below the rounding of the energies.
ENDLESS = ["--set", "grid.x.nodes=1001", "--set", "tolerance_eV=1.0e-30"]


class Outcome:
    """A finished run: exit status, texts, and what it left in its working folder."""

    def __init__(self, process, folder, before):
        self.status = process.returncode
        self.stdout = process.stdout
        self.stderr = process.stderr
        self.new_files = sorted(set(files_below(folder)) - before)

    def assert_status(self, status):
        assert self.status == status, f"exit status {self.status}\n{self.stdout}\n{self.stderr}"

    def assert_refused(self, status, *fragments):
        """Refused with a message of one line that has all the fragments, nothing printed, nothing left behind."""
        self.assert_status(status)
        message = self.stderr.strip()
        assert message.startswith("qdsim"), message
        assert "\n" not in message, message
        for fragment in fragments:
            assert fragment in message, f"{fragment!r} is not in {message!r}"
        assert self.stdout == ""
        assert self.new_files == []


def limit_file_size(size):
    """A preexec_fn: no file of the command grows beyond."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def files_below(folder):
    return [str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*")]


def read_ready(terminal, patience):
    if not select.select([terminal], [], [], patience)[0]:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def read_terminal(command, folder, seconds, until=None):
    """Runs on a pseudo-terminal for at most `seconds`, or until it has written `until`; all that it wrote, and its
    exit status."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=slave,
                               env={**os.environ, "TERM": "xterm"})
    os.close(slave)
    end, text = time.monotonic() + seconds, b""
    while time.monotonic() < end and process.poll() is None and not (until and until in text):
        text += read_ready(master, 0.2)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    while more := read_ready(master, 0):
        text += more
    os.close(master)
    return text.decode(), process.returncode
