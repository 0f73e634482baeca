"""Long calls: the GIL is free, progress is reported, Ctrl-C and exceptions stop them."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import qdsim


def long_solve(progress):
    """Takes many seconds unless it is stopped: a rough potential, many states, a tolerance near the last digit."""
    potential = np.random.default_rng(1).uniform(0, 0.5, (121, 121, 121))
    return qdsim.eigenstates(potential, mass=0.067, spacing_nm=0.4, states=30, tolerance_eV=1e-11, progress=progress)


def interrupt_after(started, seconds=0.2):
    """Ctrl-C from another thread, a while after `started` is set."""

    def interrupt():
        started.wait()
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_other_threads_run_meanwhile():
    solver_started, turns = threading.Event(), 0

    class Stop(Exception):
        pass

    def report(phase, fraction, detail):
        solver_started.set()
        if turns > 50:
            raise Stop

    caught = []

    def solve():
        with pytest.raises(Stop) as stopped:
            long_solve(report)
        caught.append(stopped)

    thread = threading.Thread(target=solve)
    thread.start()
    solver_started.wait()
    while thread.is_alive():
        turns += 1
        time.sleep(0.002)
    thread.join()
    assert caught and turns > 50


def test_threads_turn_without_any_report(dome):
    """With no report no Python code runs in the solving thread, so only a released GIL lets this thread turn."""
    device = qdsim.Device(dome, set={"grid.x.nodes": 49, "grid.y.nodes": 47})
    inside = threading.Event()

    def solve():
        inside.set()
        device.solve(progress=False)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        thread = threading.Thread(target=solve)
        thread.start()
        inside.wait()
        turns = 0
        while thread.is_alive():
            turns += 1
            time.sleep(0.001)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert turns > 10


def test_ctrl_c_stops_at_the_next_report():
    started, reports_after = threading.Event(), []
    thread = None

    def report(phase, fraction, detail):
        if not started.is_set():
            started.set()
        if thread is not None and not thread.is_alive():
            reports_after.append(phase)

    thread = interrupt_after(started)
    with pytest.raises(KeyboardInterrupt):
        long_solve(report)
    thread.join()
    assert len(reports_after) <= 1


def test_ctrl_c_without_a_report():
    started = threading.Event()
    thread = interrupt_after(started, 0.5)
    started.set()
    with pytest.raises(KeyboardInterrupt) as caught:
        long_solve(False)
    thread.join()
    # Raised while the library worked, and not when it had finished.
    assert any(callback in str(entry) for entry in caught.traceback for callback in ("on_progress", "on_log"))


def test_ctrl_c_within_a_message_is_not_lost(dome):
    """It may fall into the logging of a message just as well as between two reports."""
    logger, seen = logging.getLogger("qdsim"), []

    def ctrl_c(record):
        seen.append(record)
        if len(seen) == 1:
            raise KeyboardInterrupt

    device = qdsim.Device(dome)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addFilter(ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            device.solve(progress=False)
    finally:
        logger.removeFilter(ctrl_c)
        logger.setLevel(level)
    # The device is whole and can be solved again.
    assert len(device.solve(progress=False)) == 4


def test_ctrl_c_ends_a_script_with_130_or_sigint():
    script = ("import numpy as np, qdsim, sys\n"
              "def report(*_): print('solving', flush=True)\n"
              "v = np.random.default_rng(1).uniform(0, 0.5, (121, 121, 121))\n"
              "qdsim.eigenstates(v, mass=0.067, spacing_nm=0.4, states=30, tolerance_eV=1e-11, progress=report)\n")
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, messages = child.communicate(timeout=60)
    assert "KeyboardInterrupt" in messages
    assert child.returncode in (130, -signal.SIGINT)


def test_a_signal_handler_of_the_caller_is_honoured():
    class Alarm(Exception):
        pass

    def handler(*_):
        raise Alarm

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(Alarm):
            long_solve(False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_an_exception_in_the_report_stops_the_work(well):
    device = qdsim.Device(well, set={"grid.x.nodes": 4801})

    def report(phase, fraction, detail):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        device.solve(progress=report)
    # The device is whole and can be solved again.
    assert len(device.solve(progress=False)) == 3


def test_reports_are_words_and_fractions(well):
    reports = []
    qdsim.run(well, set={"grid.x.nodes": 4801}, progress=lambda *report: reports.append(report))
    assert reports
    for phase, fraction, detail in reports:
        assert isinstance(phase, str) and phase and isinstance(detail, str)
        assert fraction <= 1


def test_a_worker_thread_ignores_ctrl_c_and_finishes(dome):
    """Signals belong to the main thread: a solve elsewhere goes on."""
    results = []
    thread = threading.Thread(target=lambda: results.append(qdsim.run(dome, progress=False)))
    with pytest.raises(KeyboardInterrupt):
        thread.start()
        os.kill(os.getpid(), signal.SIGINT)
        thread.join()
    thread.join()
    assert len(results[0]) == 4


def test_several_devices_at_once(well):
    expected = qdsim.run(well, threads=1, progress=False).energies_eV
    results = [None] * 4

    def solve(place):
        results[place] = qdsim.run(well, threads=1, progress=False).energies_eV

    threads = [threading.Thread(target=solve, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for energies in results:
        assert energies == pytest.approx(expected, abs=1e-9)


def test_one_device_is_solved_once_at_a_time(well):
    device = qdsim.Device(well, set={"grid.x.nodes": 4801})
    messages = []

    def report(*_):
        with pytest.raises(qdsim.ArgumentError, match="solved already") as caught:
            device.solve(progress=False)
        messages.append(str(caught.value))

    device.solve(progress=report)
    assert messages


def test_last_error_belongs_to_its_thread(well):
    """Many threads failing at once each get their own message."""
    wrong = []

    def fail(number):
        for _ in range(20):
            try:
                qdsim.run(f"/none/{number}.yaml")
            except qdsim.FileError as error:
                if f"/none/{number}.yaml" not in str(error):
                    wrong.append(str(error))

    threads = [threading.Thread(target=fail, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("progress", [3, "yes"])
def test_progress_that_is_none(well, progress):
    with pytest.raises(qdsim.ArgumentError, match="progress"):
        qdsim.run(well, progress=progress)


def test_progress_bar(well, capsys):
    pytest.importorskip("tqdm")
    qdsim.run(well, set={"grid.x.nodes": 4801}, progress=True)
    assert "%" in capsys.readouterr().err


def test_silent_without_a_terminal(well, capsys):
    qdsim.run(well)
    assert capsys.readouterr() == ("", "")
