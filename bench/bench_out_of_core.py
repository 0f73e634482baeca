"""Solves whose vectors are four times the memory limit, against the same solves in memory and against the disk.

    ./dev bench out_of_core                     every case
    ./dev python bench/bench_out_of_core.py -h  options

The vectors are what the eigensolver's blocks take at their peak in the run in memory; the limit is a quarter of that. Each
case is solved three times: in memory; with the limit; and with the limit while this program takes the overflow's pages out
of the kernel's cache four times a second, as if the machine had no memory beside the limit. Energies must be equal to the
last bit. `resident_bytes` is VmHWM, the most that the process held at once of memory and of mapped files together, and
`resident_over_bytes` is that less what the process holds in any case (VmHWM less the account's peak, of the run in memory).
`disk_s` is the time that the disk, at the bandwidths measured before, needs for the bytes that the process read and wrote.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20

HARMONIC_1D = """\
dimension: 1
materials: {uniform: {mass: 0.067, band_edge_eV: 0}}
background: uniform
potential: [{formula_eV: "1e-4*x^2"}]
grid: {x: {from_nm: -100, to_nm: 100, nodes: 500001}}
states: 8
output: {fields: []}
"""


def cube(file, nodes):
    return [file, *(f"grid.{axis}.nodes={nodes}" for axis in "xyz")]


# name: device file and settings
CASES = {
    "1D: harmonic, 500001 nodes, 8 states": [HARMONIC_1D],
    "2D: harmonic, 1001 x 1001, 6 states": ["examples/harmonic_2d.yaml", "grid.x.nodes=1001", "grid.y.nodes=1001"],
    "3D: lens dot, 121 x 121 x 121, 6 states": cube("examples/lens_dot.yaml", 121),
}


def disk_bandwidth(folder, size):
    """Bytes per second of writing a new file to the disk and of reading it from there."""
    block = os.urandom(MIB)
    with tempfile.TemporaryFile(dir=folder) as file:
        start = time.perf_counter()
        for _ in range(size // MIB):
            file.write(block)
        file.flush()
        os.fdatasync(file.fileno())
        written = time.perf_counter() - start
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        start = time.perf_counter()
        while file.read(MIB):
            pass
        read = time.perf_counter() - start
    return {"write_bytes_per_s": size / written, "read_bytes_per_s": size / read}


def empty_cache(process, scratch):
    """Writes the files that the process has in the folder to the disk, and takes them out of the kernel's cache."""
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            if not os.readlink(link).startswith(scratch):
                continue
            descriptor = os.open(link, os.O_RDONLY)
        except OSError:  # it has been closed
            continue
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def empty_cache_again_and_again(process, scratch, done):
    while not done.wait(0.25):
        try:
            empty_cache(process, scratch)
        except OSError:  # the process has ended
            return


def last_words(pid):
    """What /proc says of a process that has ended and was not waited for, or of one that runs."""
    words = {}
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        key, value = line.split(": ")
        words[key] = int(value)
    return words


def solve(case, folder, threads, limit=None, scratch=None, uncached=False):
    """Runs the command; returns its JSON and what it took."""
    file, *settings = case
    if "\n" in file:
        path = Path(folder) / "device.yaml"
        path.write_text(file)
        file = str(path)
    command = ["qdsim", "run", file, "--no-plot", "--json", "-o", folder, "--device", "cpu"]
    for setting in settings:
        command += ["--set", setting]
    if threads:
        command += ["--threads", str(threads)]
    if limit:
        command += ["--memory-limit", str(limit), "--scratch", scratch]
    done = threading.Event()
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    helper = threading.Thread(target=empty_cache_again_and_again, args=(process, scratch, done))
    if uncached:
        helper.start()
    output = process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - start
    done.set()
    moved = last_words(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if uncached:
        helper.join()
    if status != 0:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    result = json.loads(output)
    memory = result["statistics"]["memory"]
    return result, {
        "wall_s": wall,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "solve_s": result["time_s"]["solve"],
        "resident_bytes": result["memory_peak_bytes"],
        "memory_account_peak_bytes": memory["peak_bytes"],
        "file_peak_bytes": memory["files"]["peak_bytes"],
        "mapped_peak_bytes": memory["files"]["peak_mapped_bytes"],
        "disk_read_bytes": moved["read_bytes"],
        "disk_written_bytes": moved["write_bytes"] - moved["cancelled_write_bytes"],
    }


def against_the_disk(run, inside, others, disk):
    run["resident_over_bytes"] = run["resident_bytes"] - others
    run["time_over_in_memory"] = run["wall_s"] / inside["wall_s"]
    run["disk_s"] = (run["disk_read_bytes"] / disk["read_bytes_per_s"]
                     + max(0, run["disk_written_bytes"]) / disk["write_bytes_per_s"])


def measure(case, threads, scratch, disk):
    with tempfile.TemporaryDirectory() as folder:
        first, inside = solve(case, folder, threads)
        vectors = first["statistics"]["memory"]["peak_bytes_by_tag"]["eigensolver"]
        limit = max(16 * MIB, vectors // 4)
        others = inside["resident_bytes"] - inside["memory_account_peak_bytes"]
        runs = {"in_memory": inside}
        for name, uncached in (("limited", False), ("limited_without_cache", True)):
            result, run = solve(case, folder, threads, limit, scratch, uncached)
            if result["states"] != first["states"]:
                raise RuntimeError(f"{name}: other energies than in memory")
            against_the_disk(run, inside, others, disk)
            runs[name] = run
    return {"unknowns": first["unknowns"], "states": len(first["states"]), "vector_bytes": vectors,
            "limit_bytes": limit, "energies_equal": True, "process_other_bytes": others, **runs}


def show(name, case):
    print(f"{name}: vectors {case['vector_bytes'] / MIB:.0f} MiB, limit {case['limit_bytes'] / MIB:.0f} MiB",
          file=sys.stderr)
    for kind in ("in_memory", "limited", "limited_without_cache"):
        run = case[kind]
        print(f"  {kind:22} {run['wall_s']:7.2f} s (cpu {run['user_s'] + run['system_s']:.2f} s), resident "
              f"{run['resident_bytes'] / MIB:5.0f} MiB, in files {run['file_peak_bytes'] / MIB:5.0f} MiB, disk read "
              f"{run['disk_read_bytes'] / MIB:6.0f} and written {run['disk_written_bytes'] / MIB:6.0f} MiB"
              + (f", which take it {run['disk_s']:.2f} s" if "disk_s" in run else ""), file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--scratch", default="/var/tmp", help="folder on the disk, default: /var/tmp")
    options = parser.parse_args()
    scratch = os.path.realpath(options.scratch)
    disk = disk_bandwidth(scratch, 1 << 30)
    cases = {}
    for name, case in CASES.items():
        if options.case in name:
            cases[name] = measure(case, options.threads, scratch, disk)
            show(name, cases[name])
    json.dump({"machine": platform.processor() or platform.machine(), "kernel": platform.release(),
               "cores": os.cpu_count(), "threads": options.threads, "scratch": scratch, "disk": disk, "cases": cases},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
