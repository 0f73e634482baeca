"""The preconditioners and precisions of the finest grid on one device: iterations and seconds of each.

    ./dev bench precision
    python3 bench/bench_precision.py --qdsim BUNDLE/bin/qdsim --device cuda --nodes 257 513

LOBPCG needs an accurate H times a vector, not an accurate preconditioner: fast diagonalisation may work in float32 or TF32
as long as the iterations stay the same. JSON on standard output, a table on standard error.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHOICES = {"multigrid": "{preconditioner: multigrid}"} | {
    precision: f"{{preconditioner: fast_diagonalisation, precision: {precision}}}"
    for precision in ("float64", "float32", "tf32")}


def run(arguments, nodes, choice):
    with tempfile.TemporaryDirectory() as folder:
        command = [arguments.qdsim, "run", str(ROOT / "bench" / "devices" / "lens.yaml"), "--device", arguments.device,
                   "--no-plot", "--quiet", "-o", folder, "--set", f"solver={CHOICES[choice]}"]
        for axis in "xyz":
            command += ["--set", f"grid.{axis}.nodes={nodes}"]
        process = subprocess.run(command, capture_output=True, text=True)
        if process.returncode != 0:
            return {"error": process.stderr.strip()}
        result = json.loads((Path(folder) / "lens.json").read_text())
    statistics = result["statistics"]
    return {"device": result["device"], "preconditioner": statistics["preconditioner"], "unknowns": result["unknowns"],
            "iterations": result["iterations"], "solve_s": result["time_s"]["solve"],
            "preconditioner_s": statistics["preconditioner_s"],
            "preconditioner_applications": statistics["preconditioner_applications"],
            "energies_eV": [state["energy_eV"] for state in result["states"]],
            "largest_residual_eV": max(state["residual_eV"] for state in result["states"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--qdsim", default="qdsim", help="the command")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--nodes", type=int, nargs="+", default=[65, 97], help="along each axis")
    arguments = parser.parse_args()
    rows = []
    for nodes in arguments.nodes:
        for choice in CHOICES:
            row = {"nodes": nodes, "choice": choice} | run(arguments, nodes, choice)
            rows.append(row)
            print(f"{nodes:5} {choice:10} " + (row["error"] if "error" in row else
                  f"{row['device']:8} {row['preconditioner']:32} {row['iterations']:3} iterations, solve {row['solve_s']:.3f} s, "
                  f"preconditioner {row['preconditioner_s']:.3f} s for {row['preconditioner_applications']} vectors, "
                  f"E0 {row['energies_eV'][0]:.9f} eV"), file=sys.stderr, flush=True)
    json.dump({"benchmark": "precision", "results": rows}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
