"""What a run leaves behind: everything when it is done, nothing when it is not."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from command import COMMAND, ENDLESS, GOOD, LONG, files_below, limit_file_size, read_terminal

PLOTTING = GOOD.replace("output: {plot: false}\n", "")


def fake_python(tmp_path, script):
    path = tmp_path / "fake_python"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return {"QDSIM_PYTHON": str(path)}


# --- folders that cannot be written ---


@pytest.mark.parametrize(
    "folder, reason",
    [
        ("device.yaml", "Not a directory"),
        ("device.yaml/below", "Not a directory"),
        ("/proc/nowhere", ""),
        ("", ""),
        ("x" * 300, "File name too long"),
        ("y/" * 3000, "File name too long"),
    ],
    ids=["file", "below_a_file", "proc", "empty", "long_name", "long_path"],
)
def test_impossible_folder(qdsim, device, folder, reason):
    qdsim("run", device(), "-o", folder).assert_refused(3, "output folder", reason)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
@pytest.mark.parametrize("folder", ["locked", "locked/below"])
def test_folder_without_permission(qdsim, device, tmp_path, folder):
    (tmp_path / "locked").mkdir(mode=0o555)
    qdsim("run", device(), "-o", folder).assert_refused(3, "output folder", "Permission denied")


def test_folder_is_checked_before_the_solve(qdsim, device):
    """The solve would end otherwise, without convergence."""
    qdsim("run", device(), *ENDLESS, "-o", "device.yaml").assert_refused(3, "output folder")


# --- full disks ---


def test_file_size_limit_found_before_the_solve(qdsim, device):
    qdsim("run", device(), preexec_fn=limit_file_size(0)).assert_refused(3, "output folder", "File too large")


@pytest.mark.parametrize("fields", ["[]", "[psi, density, band_edge, material]"])
def test_file_size_limit_found_while_writing(qdsim, device, fields):
    """The probe of 4 KiB passes, the files of many states do not."""
    text = GOOD.replace("plot: false", f"plot: false, fields: {fields}")
    text = text.replace("states: 2", "states: 24")
    outcome = qdsim("run", device(text), preexec_fn=limit_file_size(4500))
    outcome.assert_status(3)
    assert "File too large" in outcome.stderr
    assert outcome.new_files == []


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_disk_found_before_the_solve(qdsim, device, tiny_disk):
    try:
        (tiny_disk / "filler").write_bytes(bytes(65536))
    except OSError:
        pass
    qdsim("run", device(), "-o", tiny_disk / "out").assert_refused(3, "output folder", "No space left")


def test_full_disk_found_while_writing(qdsim, device, tiny_disk):
    text = GOOD.replace("nodes: 121", "nodes: 2001").replace("plot: false", "plot: false, fields: [psi]")
    text = text.replace("states: 2", "states: 8")
    outcome = qdsim("run", device(text), "-o", tiny_disk / "out")
    outcome.assert_status(3)
    assert "No space left" in outcome.stderr
    assert files_below(tiny_disk) == []


def test_earlier_result_survives_a_failed_write(qdsim, device, tmp_path):
    path = device()
    qdsim("run", path).assert_status(0)
    before = (tmp_path / "out/device.json").read_bytes()
    qdsim("run", path, "--set", "states=40", preexec_fn=limit_file_size(4500)).assert_status(3)
    assert (tmp_path / "out/device.json").read_bytes() == before


@pytest.mark.parametrize("name", ["device.json", "device.vtkhdf"])
def test_folder_in_the_place_of_a_file_is_found_before_the_solve(qdsim, device, tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    qdsim("run", device(), *ENDLESS).assert_refused(3, f"out/{name}", "a folder has that name", "-o")


def test_folder_in_the_place_of_a_file_that_is_not_written_is_left_alone(qdsim, device, tmp_path):
    for name in ["device.vtkhdf", "device.memory.h5"]:
        (tmp_path / "out" / name).mkdir(parents=True)
    outcome = qdsim("run", device(GOOD.replace("plot: false", "plot: false, fields: []")))
    outcome.assert_status(0)
    assert outcome.new_files == ["out/device.json"]


def test_standard_output_that_cannot_be_written_leaves_the_files(device, tmp_path):
    with open("/dev/full", "w") as full:
        process = subprocess.run([COMMAND, "run", device()], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 3 and "standard output cannot be written" in process.stderr
    json.loads((tmp_path / "out/device.json").read_text())
    assert (tmp_path / "out/device.vtkhdf").exists()


def test_help_says_what_a_failure_leaves(qdsim):
    text = " ".join(qdsim("run", "--help").stdout.split())
    assert "What fails before the results are written leaves no output files behind" in text
    assert "what fails later (a picture, the memory profile, standard output) leaves those that are complete" in text


# --- memory ---


@pytest.mark.parametrize("command", ["check", "run"])
def test_memory_limit(qdsim, device, command):
    outcome = qdsim(command, device(LONG), "--memory-limit", "20MiB", "--scratch", "")
    outcome.assert_status(5)
    assert "memory budget exceeded" in outcome.stderr and "20" in outcome.stderr
    assert outcome.new_files == []


def test_memory_limit_that_suffices(qdsim, device):
    qdsim("run", device(), "--memory-limit", "1GiB").assert_status(0)


def test_machine_too_small(qdsim, device):
    text = LONG.replace("101", "6001")
    qdsim("run", device(text)).assert_refused(5, "memory")


# --- convergence ---


def test_solve_that_does_not_converge(qdsim, device):
    """A tolerance below the rounding error of the energies cannot be reached."""
    path = device(GOOD.replace("nodes: 121", "nodes: 1001"))
    qdsim("run", path, "--set", "tolerance_eV=1.0e-30").assert_refused(4, "converge")


@pytest.mark.parametrize("nodes, reason", [(201, "the tolerance lies below rounding; loosen it"), (501, "loosen")],
                         ids=["diagonalised", "iterated"])
def test_tolerance_below_rounding(qdsim, device, nodes, reason):
    """Refused for a small problem, which is diagonalised as a whole, as for one that is iterated."""
    path = device(GOOD.replace("nodes: 121", f"nodes: {nodes}"))
    refused = qdsim("run", path, "--set", "tolerance_eV=1.0e-16")
    refused.assert_refused(4, "solve: ", "residual", "wanted 1.00e-16", reason)


def test_energies_beyond_all_numbers(qdsim, device):
    """The potential is finite, the square of an energy is not."""
    path = device(GOOD.replace("states: 2", 'potential: [{formula_eV: "1e298*x^2"}]'))
    qdsim("run", path, "--set", "states=4").assert_refused(4, "extreme numbers")


# --- Ctrl-C ---


@contextlib.contextmanager
def started(tmp_path, *arguments, **options):
    """A running command; it is dead at the end, also of a test that failed."""
    process = subprocess.Popen(
        [COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption(device, tmp_path, number):
    path = device(LONG)
    with started(tmp_path, "run", path) as process:
        time.sleep(1.0)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr and stdout == ""
    assert files_below(tmp_path) == [path]


def wait_until_there(path):
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.01)


def test_interruption_ends_the_plotter(device, tmp_path):
    environment = {**os.environ, **fake_python(tmp_path, "touch started; exec sleep 60\n")}
    with started(tmp_path, "run", device(PLOTTING), env=environment) as process:
        wait_until_there(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert (tmp_path / "out/device.json").exists()


def test_interruption_of_one_picture_leaves_out_the_next(device, tmp_path):
    environment = {**os.environ, **fake_python(tmp_path, "echo $4 >> started; exec sleep 60\n")}
    with started(tmp_path, "run", device(PLOTTING), "--memory-profile", env=environment) as process:
        wait_until_there(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130 and stderr.count("interrupted before the picture was drawn") == 1
    assert (tmp_path / "started").read_text() == "out/device.json\n"


def test_second_interruption_kills(device, tmp_path):
    """Shown while the command waits for a plotter that does not let itself be interrupted."""
    environment = {**os.environ, **fake_python(tmp_path, "trap '' INT TERM; touch started; sleep 5\n")}
    with started(tmp_path, "run", device(PLOTTING), env=environment) as process:
        wait_until_there(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(timeout=2)
    assert process.returncode == -signal.SIGINT


# --- progress ---


def test_progress_on_a_terminal(device, tmp_path):
    text, status = read_terminal([COMMAND, "run", device(LONG)], tmp_path, 60, until=b"left")
    assert re.search(r"\r\w[\w ]+\[#*-*\] +\d+ %  \d:\d\d, \d:\d\d left", text)
    assert status == 130


def test_no_progress_when_quiet(device, tmp_path):
    text, status = read_terminal([COMMAND, "run", device(), "--quiet"], tmp_path, 20)
    assert text == "" and status == 0


# --- the picture ---


def test_picture_is_drawn_from_the_result_file(qdsim, device, tmp_path):
    environment = fake_python(tmp_path, 'echo "$@" > asked; touch "${4%.json}.png"\n')
    outcome = qdsim("run", device(PLOTTING), environment=environment)
    outcome.assert_status(0)
    assert (tmp_path / "asked").read_text() == "-m qdsim.plot -- out/device.json\n"
    assert "out/device.png" in outcome.stdout and outcome.stderr == ""


@pytest.mark.parametrize("how", ["option", "file"])
def test_no_picture_when_not_wanted(qdsim, device, tmp_path, how):
    environment = fake_python(tmp_path, "touch asked\n")
    if how == "option":
        outcome = qdsim("run", device(PLOTTING), "--no-plot", environment=environment)
    else:
        outcome = qdsim("run", device(), environment=environment)
    outcome.assert_status(0)
    assert not (tmp_path / "asked").exists() and outcome.stderr == ""


def test_a_folder_that_looks_like_an_option_holds_pictures(qdsim, device, tmp_path):
    pytest.importorskip("qdsim")
    pytest.importorskip("matplotlib")
    outcome = qdsim("run", device(PLOTTING), "--memory-profile", "-o", "-q", environment={"QDSIM_PYTHON": sys.executable})
    outcome.assert_status(0)
    assert outcome.stderr == "" and (tmp_path / "-q" / "device.png").exists()
    assert "-q/device.memory.png" in outcome.stdout


def assert_no_picture(outcome, *fragments):
    """The run is fine, and one line says why there is no picture."""
    outcome.assert_status(0)
    assert outcome.stderr.count("\n") == 1 and "no picture" in outcome.stderr
    for fragment in fragments:
        assert fragment in outcome.stderr
    assert ".png" not in outcome.stdout and "out/device.json" in outcome.stdout


@pytest.mark.parametrize(
    "script, reason",
    [
        ("echo \"$0: No module named qdsim.plot\" >&2; exit 1\n", "No module named qdsim.plot"),
        ("echo Traceback >&2; echo \"ModuleNotFoundError: No module named 'numpy'\" >&2; exit 1\n", "'numpy'"),
        (None, "No such file"),
    ],
    ids=["no_package", "no_module", "no_python"],
)
def test_what_the_picture_needs_is_named(qdsim, device, tmp_path, script, reason):
    environment = fake_python(tmp_path, script) if script else {"QDSIM_PYTHON": "/nonexistent/python"}
    outcome = qdsim("run", device(PLOTTING), environment=environment)
    assert_no_picture(outcome, reason, "install the Python package qdsim-native", "QDSIM_PYTHON", "--no-plot")


def test_a_module_that_the_picture_needs_is_named(qdsim, device, tmp_path):
    """A matplotlib that is found first, and is not there."""
    pytest.importorskip("qdsim")
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')\n")
    outcome = qdsim("run", device(PLOTTING), environment={"PYTHONPATH": str(tmp_path / "without")})
    assert_no_picture(outcome, "matplotlib", "install the Python package qdsim-native")


@pytest.mark.parametrize(
    "script, reason",
    [
        ("echo Traceback >&2; echo 'ValueError: a fault of the plotter' >&2; exit 1\n", "ValueError: a fault of the plotter\n"),
        ("exit 3\n", "it failed with status 3 and without a message\n"),
        ("kill -KILL $$\n", "it was ended by signal 9 (Killed)\n"),
    ],
    ids=["traceback", "silent", "killed"],
)
def test_why_the_plotter_failed_is_told(qdsim, device, tmp_path, script, reason):
    outcome = qdsim("run", device(PLOTTING), environment=fake_python(tmp_path, script))
    assert_no_picture(outcome, reason)
    assert "install" not in outcome.stderr


def test_a_broken_file_of_fields_is_named(qdsim, device, tmp_path):
    """The plotter is the real one; something has cut the file off before it looks."""
    pytest.importorskip("qdsim")
    pytest.importorskip("h5py")
    cut = f'truncate -s 100 out/device.vtkhdf; exec "{sys.executable}" "$@"\n'
    text = GOOD.replace("plot: false", "fields: [psi]")
    outcome = qdsim("run", device(text), environment=fake_python(tmp_path, cut))
    assert_no_picture(outcome, "out/device.vtkhdf: ")
    assert "install" not in outcome.stderr


def test_plot_messages_do_not_spoil_json(qdsim, device, tmp_path):
    outcome = qdsim("run", device(PLOTTING), "--json", environment=fake_python(tmp_path, "echo drawing\n"))
    json.loads(outcome.stdout)


def test_fields_only_when_asked_for(qdsim, device):
    none = device(GOOD.replace("plot: false", "plot: false, fields: []"))
    assert "out/device.vtkhdf" not in qdsim("run", none).new_files
    outcome = qdsim("run", device(GOOD.replace("plot: false", "plot: false, fields: [psi]")))
    assert "out/device.vtkhdf" in outcome.new_files and "out/device.vtkhdf" in outcome.stdout
