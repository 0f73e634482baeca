"""Multigrid against fast diagonalisation as the preconditioner of the finest grid.

    ./dev bench preconditioner

Solves devices of growing size with each and prints iterations, seconds of the solve and of one application per vector and
million unknowns. JSON on standard output, a table on standard error.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = [
    ("pyramid.yaml", "xyz", (62, 102, 152)),
    ("lens_dot.yaml", "xyz", (61, 101)),
    ("quickstart_2d.yaml", "xy", (201, 401, 801)),
    ("harmonic_2d.yaml", "xy", (201, 401, 801)),
    ("well_1d.yaml", "x", (961, 3841)),
]


def solve(file, axes, nodes, preconditioner):
    with tempfile.TemporaryDirectory() as folder:
        command = ["qdsim", "run", f"examples/{file}", "--no-plot", "--quiet", "-o", folder,
                   "--set", f"solver.preconditioner={preconditioner}", "--set", "output.fields=[]"]
        for axis in axes:
            command += ["--set", f"grid.{axis}.nodes={nodes}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        result = json.loads((Path(folder) / file.replace(".yaml", ".json")).read_text())
    statistics = result["statistics"]
    applications = statistics["preconditioner_applications"]
    per_vector = statistics["preconditioner_s"] / applications if applications else 0.0
    return {"file": file, "nodes": nodes, "unknowns": result["unknowns"], "preconditioner": statistics["preconditioner"],
            "iterations": result["iterations"], "solve_s": result["time_s"]["solve"],
            "application_ms_per_vector": 1e3 * per_vector,
            "application_ns_per_unknown": 1e9 * per_vector / result["unknowns"]}


def main():
    rows = []
    print(f"{'device':20} {'unknowns':>9}  {'preconditioner':21} {'iterations':>10} {'solve s':>8} {'ns/unknown':>10}",
          file=sys.stderr)
    for file, axes, sizes in CASES:
        for nodes in sizes:
            for preconditioner in ("multigrid", "fast_diagonalisation"):
                row = solve(file, axes, nodes, preconditioner)
                rows.append(row)
                print(f"{file:20} {row['unknowns']:9d}  {row['preconditioner']:21} {row['iterations']:10d}"
                      f" {row['solve_s']:8.2f} {row['application_ns_per_unknown']:10.1f}", file=sys.stderr, flush=True)
    json.dump({"benchmark": "preconditioner", "results": rows}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
