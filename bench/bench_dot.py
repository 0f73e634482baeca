"""Quantum dots against their peers: whole processes, from reading the file to writing the results.

    ./dev bench dot                     every case
    ./dev python bench/bench_dot.py -h  options

Each case runs `qdsim run` and its peer in turn and takes the median of the wall times and the largest peak memory of each.
A peer of several processes counts as the sum of as many of the largest. SLEPc is a peer where its development files and MPI are installed (Debian: libslepc-real3.18-dev libopenmpi-dev).
Prints JSON on standard output and a table on standard error.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
RANKS = min(2, os.cpu_count())  # of a peer under MPI


def harmonic(nodes, states):
    return ["examples/harmonic_2d.yaml", f"grid.x.nodes={nodes}", f"grid.y.nodes={nodes}", f"states={states}"]


# name: (device file and settings, peer or None)
CASES = {
    "pyramid, 10^6 unknowns, 3 states": (["examples/pyramid.yaml"], "slepc"),
    "quickstart 401 x 401, 5 states": (["examples/quickstart_2d.yaml"], ["scipy_2d.py", "well", "401", "5"]),
    "harmonic 1001 x 1001, 5 states": (harmonic(1001, 5), ["scipy_2d.py", "harmonic", "1001", "5"]),
    "harmonic 2001 x 2001, 1 state": (harmonic(2001, 1), None),
    "harmonic 5001 x 5001, 1 state": (harmonic(5001, 1), None),
}


def measure(command):
    """Wall time in seconds and peak memory in bytes of a process, its children included."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {errors.strip()}")
    return wall, usage.ru_maxrss * 1024, output


def qdsim_command(case, folder, threads):
    file, *settings = case
    command = ["qdsim", "run", file, "--no-plot", "--quiet", "-o", folder]
    for setting in settings:
        command += ["--set", setting]
    return command + (["--threads", str(threads)] if threads else [])


def build_slepc(folder):
    """The SLEPc peer as (command, None), or (None, why not)."""
    if not shutil.which("mpicc") or not shutil.which("mpirun"):
        return None, "mpicc and mpirun are not installed"
    packages = ["slepc", "petsc"]
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", *packages], capture_output=True, text=True)
    if flags.returncode != 0:
        return None, "the development files of SLEPc are not installed"
    program = Path(folder) / "slepc_pyramid"
    compiled = subprocess.run(
        ["mpicc", "-O2", str(PEERS / "slepc_pyramid.c"), "-o", str(program), *flags.stdout.split(), "-lm"],
        capture_output=True, text=True)
    if compiled.returncode != 0:
        return None, compiled.stderr.strip().splitlines()[-1]
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return ["mpirun", *root, "-n", str(RANKS), str(program), "-n", "100", "-eps_nev", "3",
            "-st_type", "precond", "-st_ksp_type", "preonly", "-st_pc_type", "gamg"], None


def peer_commands(peer, folder):
    """The peer's variants as a list of (name, command), and a remark."""
    if peer is None:
        return [], None
    if peer == "slepc":
        command, reason = build_slepc(folder)
        if not command:
            return [], reason
        return [("SLEPc LOBPCG", [*command, "-eps_type", "lobpcg", "-eps_lobpcg_blocksize", "4"]),
                ("SLEPc Davidson", [*command, "-eps_type", "gd"])], None
    return [("SciPy", [sys.executable, str(PEERS / peer[0]), *peer[1:]])], None


def summary(runs, processes=1):
    walls = [wall for wall, _, _ in runs]
    return {"seconds": statistics.median(walls), "seconds_min": min(walls), "seconds_max": max(walls),
            "peak_bytes": processes * max(peak for _, peak, _ in runs)}


def run_case(name, arguments, folder):
    case, peer = CASES[name]
    commands, remark = peer_commands(None if arguments.no_peers else peer, folder)
    ours, theirs = [], {label: [] for label, _ in commands}
    for _ in range(arguments.runs):
        ours.append(measure(qdsim_command(case, folder, arguments.threads)))
        for label, command in commands:
            theirs[label].append(measure(command))
    result = json.loads((Path(folder) / (Path(case[0]).stem + ".json")).read_text())
    processes = RANKS if peer == "slepc" else 1
    row = {"case": name, "qdsim": summary(ours),
           "peers": {label: summary(runs, processes) for label, runs in theirs.items()},
           "peer_remark": remark, "unknowns": result["unknowns"], "iterations": result["iterations"],
           "time_s": result["time_s"], "energies_eV": [state["energy_eV"] for state in result["states"]],
           "largest_residual_eV": max(state["residual_eV"] for state in result["states"])}
    report(row)
    return row


def report(row):
    line = f"{row['case']:36} qdsim {row['qdsim']['seconds']:7.2f} s {row['qdsim']['peak_bytes'] / 1e9:6.3f} GB"
    for label, peer in row["peers"].items():
        line += (f" | {label} {peer['seconds']:7.2f} s {peer['peak_bytes'] / 1e9:6.3f} GB:"
                 f" {peer['seconds'] / row['qdsim']['seconds']:.1f} times the time,"
                 f" {peer['peak_bytes'] / row['qdsim']['peak_bytes']:.1f} times the memory")
    print(line + (f" | no peer: {row['peer_remark']}" if row["peer_remark"] else ""), file=sys.stderr, flush=True)


PYTHON_CASE = """
import time, numpy, qdsim
x = numpy.linspace(-12.5, 12.5, 50)[:, None]
y = numpy.linspace(-10, 10, 40)[None, :]
potential = 0.001 * (x**2 + y**2)
times = []
for _ in range(5):
    start = time.perf_counter()
    qdsim.eigenstates(potential, mass=0.067, spacing_nm=(25 / 49, 20 / 39), states=5)
    times.append(time.perf_counter() - start)
print(times[0], sorted(times)[2])
"""


def run_python_case():
    wall, peak, output = measure([sys.executable, "-c", PYTHON_CASE])
    first, median = map(float, output.split())
    print(f"{'eigenstates, 50 x 40 array, 5 states':36} first call {1e3 * first:.1f} ms, median {1e3 * median:.1f} ms",
          file=sys.stderr)
    return {"case": "eigenstates on a 50 x 40 array, 5 states", "first_call_s": first, "median_call_s": median,
            "process": {"seconds": wall, "peak_bytes": peak}}


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "system": platform.platform(),
            "load_before": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="runs of each command (default 3)")
    parser.add_argument("--threads", type=int, default=0, help="threads of qdsim (default: all cores)")
    parser.add_argument("--no-peers", action="store_true", help="qdsim only")
    parser.add_argument("--case", action="append", help="only cases whose name contains this text; may be repeated")
    arguments = parser.parse_args()
    chosen = [name for name in CASES if not arguments.case or any(part in name for part in arguments.case)]
    rows = []
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run_case(name, arguments, folder))
    if not arguments.case:
        rows.append(run_python_case())
    version = subprocess.run(["qdsim", "--version"], capture_output=True, text=True).stdout.strip()
    json.dump({"benchmark": "dot", "version": version, "machine": machine(), "tolerance": "relative residual 1e-8",
               "runs": arguments.runs, "results": rows}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
