"""The lens dot on one GPU, up to 10^9 unknowns, against the same problem in CuPy in the same run.

    ./dev bench lens                      every case
    python3 bench/bench_lens.py --qdsim BUNDLE/bin/qdsim --case 255

Each case is a whole `qdsim run`; the time to compare is that of the solve (start vectors, iterations and, apart, the check
that no level is missing), as the peer's time is that of its iterations. Setting up (geometry, coefficients), measuring
(positions, probabilities) and the whole are reported beside it; the wave functions stay on the device. JSON on standard output, a table on standard error.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# unknowns along an axis, states
CASES = [(255, 4), (511, 4), (767, 2), (1000, 2)]
LARGEST_PEER = 767  # beyond, its twelve vectors and their sums would pass the memory of an H200


def run_qdsim(arguments, n, states, repeat):
    best = None
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            command = [arguments.qdsim, "run", str(ROOT / "bench" / "devices" / "lens.yaml"), "--device", arguments.device,
                       "--quiet", "--no-plot", "-o", folder, "--set", f"states={states}"]
            for axis in "xyz":
                command += ["--set", f"grid.{axis}.nodes={n + 2}"]
            for setting in arguments.set or []:
                command += ["--set", setting]
            start = time.perf_counter()
            process = subprocess.run(command, capture_output=True, text=True)
            wall = time.perf_counter() - start
            if process.returncode != 0:
                return {"error": process.stderr.strip()}
            result = json.loads((Path(folder) / "lens.json").read_text())
        row = {"wall_s": wall, "time_s": result["time_s"], "device": result["device"], "iterations": result["iterations"],
               "energies_eV": [state["energy_eV"] for state in result["states"]],
               "largest_residual_eV": max(state["residual_eV"] for state in result["states"]),
               "statistics": {key: value for key, value in result["statistics"].items() if key != "memory"},
               "host_peak_bytes": result["memory_peak_bytes"]}
        if best is None or row["time_s"]["solve"] < best["time_s"]["solve"]:
            best = row
    return best


PEER_LINE = re.compile(r"n=(\d+) .* prec=(\w+) its=(\d+) res=([\d.e+-]+) t=([\d.]+)s E=(.*)")


def run_peer(n, states):
    process = subprocess.run([sys.executable, str(ROOT / "bench" / "peers" / "cupy_lens.py"), str(states), str(n)],
                             capture_output=True, text=True)
    rows = [{"precision": match[2], "iterations": int(match[3]), "residual_eV": float(match[4]), "seconds": float(match[5])}
            for match in PEER_LINE.finditer(process.stdout)]
    return rows or [{"error": (process.stdout + process.stderr).strip()[-500:]}]


def report(row):
    ours = row["qdsim"]
    line = f"{row['unknowns_per_axis']:5}^3 {row['states']} states "
    if "error" in ours:
        line += ours["error"]
    else:
        times, statistics = ours["time_s"], ours["statistics"]
        line += (f"{ours['device']} solve {times['solve']:7.3f} s (check {statistics['verify_s']:.3f}), set-up "
                 f"{times['setup']:6.2f}, measure {times['measure']:5.2f}, total {times['total']:6.2f}, {ours['iterations']} "
                 f"iterations, residual "
                 f"{ours['largest_residual_eV']:.1e} eV")
    for peer in row["peer"]:
        line += (f" | CuPy {peer['precision']} {peer['seconds']:.2f} s, {peer['iterations']} iterations"
                 if "seconds" in peer else f" | CuPy: {peer['error'].splitlines()[-1] if peer['error'] else 'no output'}")
    print(line, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--qdsim", default="qdsim", help="the command")
    parser.add_argument("--device", default="cuda", help="default: cuda; without a GPU the reason is reported, and no peer runs")
    parser.add_argument("--case", type=int, action="append", help="unknowns along an axis; may be repeated")
    parser.add_argument("--repeat", type=int, default=3, help="runs of the smaller cases; the best counts (default 3)")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--set", action="append", help="a further setting of the device file")
    arguments = parser.parse_args()
    rows = []
    for n, states in CASES:
        if arguments.case and n not in arguments.case:
            continue
        ours = run_qdsim(arguments, n, states, arguments.repeat if n < 600 else 1)
        peer = [] if arguments.no_peer or n > LARGEST_PEER or "error" in ours else run_peer(n, states)
        rows.append({"unknowns_per_axis": n, "states": states, "peer": peer, "qdsim": ours})
        report(rows[-1])
    json.dump({"benchmark": "lens", "tolerance_eV": 1e-6, "results": rows}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
