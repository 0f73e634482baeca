"""The timeline of memory around a block of Python: what it sees, when it ends, and what is refused."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import qdsim

MIB = 1 << 20


def threads():
    """Those of the whole process, the library's too."""
    return len(os.listdir("/proc/self/task"))


@pytest.fixture
def no_thread_left():
    qdsim.memory_stats("cpu")  # what it starts, it starts once
    before = threads()
    yield
    gc.collect()
    assert threads() <= before


@pytest.mark.parametrize("device", ["cpu", "sim", "cuda"])
def test_an_array_comes_and_goes(device):
    try:
        qdsim.memory_stats(device)
    except qdsim.UnsupportedError as reason:
        pytest.skip(str(reason))
    with qdsim.memory_profile(interval_s=0.005) as p:
        time.sleep(0.05)
        a = qdsim.zeros(MIB, "float64", tag="come and go", device=device)
        place = a.places[0]
        time.sleep(0.3)
        del a
        time.sleep(0.05)
    seen = p.bytes[place]["come and go"]
    assert seen[0] == 0 and seen.max() == 8 * MIB and seen[-1] == 0
    assert len(p.time_s) == len(seen) >= 3 and (np.diff(p.time_s) >= 0).all() and 0.15 < p.time_s[-1] < 60
    assert p.peak[place] >= 8 * MIB and p.peak["process"] > 8 * MIB
    assert p.peak["host"] == sum(p.bytes["host"].values()).max()
    assert f"{place} " in repr(p) and f"{len(seen)} looks" in repr(p)


def test_what_solves_is_seen_too(dome):
    with qdsim.memory_profile(interval_s=0.001) as p:
        result = qdsim.run(dome, progress=False, device="cpu")
    assert "hamiltonian" in p.bytes["host"]
    assert sum(p.bytes["host"].values())[-1] >= result.psi(0).nbytes
    with qdsim.memory_profile() as later:  # which sees what was made before
        pass
    assert sum(later.bytes["host"].values())[0] >= result.psi(0).nbytes


def test_devices_that_end_leave_the_timeline(dome):
    """A profile holds no device, and reads none that has gone."""
    result = qdsim.run(dome, progress=False, device="cpu")
    bytes_ = result.psi(0).nbytes
    with qdsim.memory_profile() as p:
        for _ in range(3):
            del result
            gc.collect()
            result = qdsim.run(dome, progress=False, device="cpu")
        del result
        gc.collect()
    total = sum(p.bytes["host"].values())
    assert total[0] - total[-1] >= bytes_


def test_profiles_overlap(no_thread_left):
    with qdsim.memory_profile(interval_s=0.005) as outer:
        with qdsim.memory_profile(interval_s=0.005) as inner:
            a = qdsim.zeros(1000, tag="both", device="cpu")
        b = qdsim.zeros(1000, tag="outer alone", device="cpu")
    assert "both" in inner.bytes["host"] and "outer alone" not in inner.bytes["host"]
    assert outer.bytes["host"]["both"][-1] == outer.bytes["host"]["outer alone"][-1] == 8000
    del a, b


def test_it_is_kept_and_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    h5py = pytest.importorskip("h5py")
    with qdsim.memory_profile(tmp_path / "mine.memory.h5") as p:
        a = qdsim.zeros(MIB, "uint8", tag="mine", device="cpu")
    with h5py.File(tmp_path / "mine.memory.h5") as file:
        group = file["memory_profile"]
        np.testing.assert_array_equal(group["time_s"], p.time_s)
        for place, tags in p.bytes.items():
            assert set(group[place]) == set(tags)
            for tag, values in tags.items():
                np.testing.assert_array_equal(group[place][tag], values)
        assert group["host"]["mine"][-1] == MIB
    assert p.save(tmp_path / "again.h5") == tmp_path / "again.h5"
    from qdsim.plot import plot

    for picture in (p.plot(tmp_path / "a.png"), plot(p, tmp_path / "b.png"), plot(tmp_path / "again.h5", tmp_path / "c.png")):
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert "memory over time" in p.plot()._suptitle.get_text()
    with pytest.raises(qdsim.ArgumentError, match="without options; it has no states"):
        plot(p, states=3)
    assert plot(p, tmp_path / "d.png", states=None) == tmp_path / "d.png"
    with pytest.raises(qdsim.ArgumentError, match="a dict cannot be drawn"):
        plot({})
    del a


# The last is what no font and no formula takes for letters.
ODD_TAGS = [".", "..", "a/b", "a b", "a%2Fb", "%", "/", "caf\u00e9", "_hidden", "x" * 500, "$\\foo{$ \n"]


def test_tags_are_exact_in_memory_and_in_files(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("h5py")
    from qdsim.plot import memory

    with qdsim.memory_profile(tmp_path / "odd.memory.h5") as p:
        arrays = [qdsim.zeros(1000 + i, "uint8", tag=tag, device="cpu") for i, tag in enumerate(ODD_TAGS)]
    for i, tag in enumerate(ODD_TAGS):
        assert p.bytes["host"][tag][-1] == 1000 + i
    from_file = memory.from_file(tmp_path / "odd.memory.h5").places
    assert {place: set(tags) for place, tags in from_file.items() if tags} == {
        place: set(tags) for place, tags in p.bytes.items()}
    for tag in ODD_TAGS:
        np.testing.assert_array_equal(from_file["host"][tag], p.bytes["host"][tag])
    del arrays


@pytest.mark.parametrize("tags, shown", [
    (ODD_TAGS[:7], ODD_TAGS[:7]), ([""], ["(no tag)"]),
    (ODD_TAGS[7:], ["caf\u00e9", " _hidden", "x" * 39 + "\u2026", "\\$\\foo{\\$  "])])
def test_every_tag_is_named_in_the_picture(tags, shown, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from qdsim.plot import memory

    bytes_ = {tag: np.full(2, 1e6) for tag in tags}
    timeline = memory.Timeline("odd", np.arange(2.0), {"host": bytes_, "process": {"resident": np.full(2, 1e7)}})
    figure = memory.draw(timeline, Figure())
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [*shown, "process (resident)"]
    figure.savefig(tmp_path / "odd.png")


def test_command_draws_it(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("h5py")
    path = tmp_path / "mine.memory.h5"
    with qdsim.memory_profile(path):
        a = qdsim.zeros(MIB, "uint8", tag="mine", device="cpu")
    command = [sys.executable, "-m", "qdsim.plot", str(path)]
    refused = subprocess.run([*command, "--states", "2"], capture_output=True, text=True)
    assert refused.returncode == 1 and "a memory profile is drawn without options; it has no states" in refused.stderr
    assert list(tmp_path.iterdir()) == [path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'mine.memory.png'}\n", "")
    assert_drawn(tmp_path / "mine.memory.png")
    subprocess.run([*command, "-o", str(tmp_path / "other.pdf")], check=True)
    assert (tmp_path / "other.pdf").read_bytes().startswith(b"%PDF")
    del a


def test_command_draws_what_lies_beside_fields(well, tmp_path):
    pytest.importorskip("matplotlib")
    h5py = pytest.importorskip("h5py")
    from qdsim.plot import memory, plot

    with qdsim.memory_profile(tmp_path / "apart.h5") as p:
        qdsim.run({**well, "output": {"plot": False}}, tmp_path, progress=False)
    (fields,) = tmp_path.glob("*.vtkhdf")
    with pytest.raises(qdsim.FileError) as refused:
        plot(fields, tmp_path / "a.png")
    message = str(refused.value)
    assert message.startswith(f"{fields}: no memory profile: it was written without --memory-profile; its fields are for ParaView")
    assert message.endswith(f"drawn from {fields.stem}.json") and not (tmp_path / "a.png").exists()
    with h5py.File(fields, "r+") as file, h5py.File(tmp_path / "apart.h5") as apart:
        apart.copy("memory_profile", file)
    timeline = memory.from_file(fields)
    np.testing.assert_array_equal(timeline.time_s, p.time_s)
    assert timeline.title == f"{fields.stem}: memory over time"
    command = [sys.executable, "-m", "qdsim.plot"]
    picture = tmp_path / f"{fields.stem}.memory.png"
    done = subprocess.run([*command, str(fields)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{picture}\n", "")
    assert_drawn(picture)
    subprocess.run([*command, str(fields.with_suffix(".json"))], check=True)  # the fields are read as before
    assert_drawn(fields.with_suffix(".png"))


def test_other_files_hold_no_profile(tmp_path):
    h5py = pytest.importorskip("h5py")
    from qdsim.plot import plot

    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    (tmp_path / "broken.vtkhdf").write_text("no HDF5")
    for name in ("other.h5", "broken.vtkhdf", "nowhere.vtkhdf"):
        with pytest.raises(qdsim.FileError, match=f"{name}: no memory profile"):
            plot(tmp_path / name, tmp_path / "a.png")


@pytest.mark.parametrize(
    "content",
    [
        {"memory_profile": [1.0]},
        {"memory_profile/time_s/group": [1.0]},
        {"memory_profile/time_s": [0.0], "memory_profile/host": [1.0]},
        {"memory_profile/time_s": [0.0], "memory_profile/host/tag": [1.0]},
        {"memory_profile/time_s": [0.0], "memory_profile/process/resident": ["text"]},
        {"memory_profile/time_s": [0.0], "memory_profile/process/resident": [1.0, 2.0]},
        {"memory_profile/time_s": [0.0], "memory_profile/process/resident": [[1.0]]},
        {"memory_profile/time_s": [0.0], "memory_profile/process/resident": [float("nan")]},
        {"memory_profile/time_s": 0.0, "memory_profile/process/resident": 1.0},
        {"memory_profile/time_s": [0.0], "memory_profile/process/resident": [1.0], "memory_profile/host/deep/tag": [1.0]},
    ],
)
def test_what_looks_like_a_profile_and_is_none_is_named(content, tmp_path):
    h5py = pytest.importorskip("h5py")
    from qdsim.plot import plot

    with h5py.File(tmp_path / "other.h5", "w") as file:
        for name, values in content.items():
            file[name] = values
    with pytest.raises(qdsim.FileError, match="other.h5: no memory profile"):
        plot(tmp_path / "other.h5", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_damaged_files_are_named(tmp_path):
    """h5py has many kinds of errors for them."""
    h5py = pytest.importorskip("h5py")
    from qdsim.plot import plot

    path = tmp_path / "damaged.memory.h5"
    with h5py.File(path, "w") as file:
        for name in ("time_s", "process/resident", "host/one", "host/two", "device/three"):
            file[f"memory_profile/{name}"] = np.arange(4.0)
    whole, refused = path.read_bytes(), 0
    for seed in range(30):
        random, damaged = np.random.default_rng(seed), bytearray(whole)
        for at in random.integers(len(whole) // 4, size=30):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        try:
            plot(path, tmp_path / "a.png")
        except qdsim.FileError as error:
            assert str(error).startswith(f"{path}: no memory profile")
            refused += 1
    assert refused > 10


def test_a_file_may_have_any_name(tmp_path):
    pytest.importorskip("h5py")
    from qdsim.plot import plot

    for name in (b"$\\frac$", b"\xff\n"):
        path = tmp_path / os.fsdecode(name + b".memory.h5")
        with qdsim.memory_profile(path):
            pass
        plot(path, tmp_path / "a.png")
        assert_drawn(tmp_path / "a.png")


def assert_drawn(path):
    """A picture of several colours."""
    from matplotlib import image

    assert len(np.unique(image.imread(path).reshape(-1, 4), axis=0)) > 10


def test_an_exception_ends_it_and_is_kept_apart(tmp_path, no_thread_left):
    path = tmp_path / "failed.memory.h5"
    with pytest.raises(ZeroDivisionError):
        with qdsim.memory_profile(path) as p:
            1 / 0
    assert path.exists() and len(p.time_s) >= 2
    with pytest.raises(ZeroDivisionError) as raised:
        with qdsim.memory_profile(path):
            path.unlink()
            path.mkdir()
            1 / 0
    assert "memory profile could not be written" in raised.value.__notes__[0]
    path.rmdir()
    with pytest.raises(qdsim.FileError, match="failed.memory.h5"):
        with qdsim.memory_profile(path):
            path.mkdir()


def test_a_profile_that_is_never_ended_ends_with_its_object(no_thread_left):
    p = qdsim.memory_profile()
    p.__enter__()
    del p


def test_ctrl_c_ends_it():
    script = """
import os, signal, sys, time, qdsim
try:
    with qdsim.memory_profile() as p:
        print("started", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print(len(p.time_s) >= 2, "running" in repr(p), flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "started\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0] == "True False\n" and child.returncode == 0


def test_threads_make_and_end_devices_meanwhile(well):
    """Contexts join and leave while the profile looks at them."""
    failures = []

    def work():
        try:
            for _ in range(10):
                qdsim.run(well, progress=False, device="cpu", threads=1)
        except BaseException as error:
            failures.append(error)

    for _ in range(3):
        with qdsim.memory_profile(interval_s=0.0005) as p:
            workers = [threading.Thread(target=work) for _ in range(4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        assert not failures and p.peak["host"] > 0


def test_profiles_end_while_devices_do(well):
    """In a process of its own: a profile that looks at a device that has gone may end it."""
    script = """
import json, sys, threading, qdsim
device = json.loads(sys.argv[1])
def work():
    for _ in range(30):
        with qdsim.memory_profile(interval_s=0.0005) as p:
            qdsim.run(device, progress=False, device="cpu", threads=1)
        assert p.peak["host"] > 0
workers = [threading.Thread(target=work) for _ in range(6)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
"""
    child = subprocess.run([sys.executable, "-c", script, json.dumps(well)], capture_output=True, text=True, timeout=120)
    assert child.returncode == 0 and child.stderr == ""


def test_misuse_is_refused(tmp_path):
    p = qdsim.memory_profile()
    assert repr(p) == "<qdsim.MemoryProfile: not started>"
    for look in (lambda: p.time_s, lambda: p.bytes, lambda: p.peak, lambda: p.save(tmp_path / "x.h5"), lambda: p.plot()):
        with pytest.raises(qdsim.ArgumentError, match="was not started"):
            look()
    with p:
        assert repr(p) == "<qdsim.MemoryProfile: running>"
        for look in (lambda: p.time_s, lambda: p.save(tmp_path / "x.h5")):
            with pytest.raises(qdsim.ArgumentError, match="still runs"):
                look()
        with pytest.raises(qdsim.ArgumentError, match="started before"):
            p.__enter__()
    with pytest.raises(qdsim.ArgumentError, match="started before"):
        with p:
            pass
    with pytest.raises(ValueError, match="read-only"):
        p.time_s[0] = 1


@pytest.mark.parametrize("interval_s, text", [("1", "interval_s: '1'"), (-1, "interval of -1 s"), (float("nan"), "interval of"),
                                              (1e9, "to 3600 are allowed"), (None, "interval_s: None"), (True, "interval_s")])
def test_intervals_are_checked(interval_s, text):
    with pytest.raises(qdsim.ArgumentError, match=text):
        with qdsim.memory_profile(interval_s=interval_s):
            pass


def test_the_path_is_checked_before_the_work(tmp_path):
    for path, text in ((tmp_path / "nowhere" / "x.h5", "there is no folder"), (tmp_path, "is a folder")):
        with pytest.raises(qdsim.FileError, match=text):
            with qdsim.memory_profile(path):
                raise AssertionError("the work was begun")
    with pytest.raises(qdsim.ArgumentError, match="path: 5 is no path"):
        qdsim.memory_profile(5)
