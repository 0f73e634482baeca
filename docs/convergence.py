"""Measures how the levels of exactly solvable devices converge: prints the table of docs/discretisation.md and draws
docs/convergence.png.

    ./dev python docs/convergence.py

The exact values are those that tests/dot/test_exact_*.c compute from closed forms and transcendental equations.
"""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy as np

import qdsim


def axis(reach, intervals, **more):
    return {"from_nm": -reach, "to_nm": reach, "nodes": intervals + 1, **more}


def triangular_well(order, intervals):
    return {
        "background": {"mass": 0.067, "band_edge_eV": 0.0},
        "potential": [{"formula_eV": "0.005*x"}],
        "grid": {"order": order, "x": {"from_nm": 0.0, "to_nm": 90.0, "nodes": intervals + 1}},
        "states": 1,
    }


def double_well(order, intervals):
    well, barrier = {"mass": 0.067, "band_edge_eV": 0.0}, {"mass": 0.0836, "band_edge_eV": 0.167098}
    return {
        "materials": {"well": well, "barrier": barrier},
        "background": "barrier",
        "regions": [
            {"shape": "layer", "axis": "x", "from_nm": low, "to_nm": low + 6.0, "material": "well"} for low in (0.0, 10.0)
        ],
        "grid": {"order": order, "x": {"from_nm": -52.0, "to_nm": 68.0, "nodes": intervals + 1}},
        "states": 1,
    }


def round_well(dimension, radius, well, barrier, reach, refine_to):
    def device(order, intervals):
        refine = [{"from_nm": -refine_to, "to_nm": refine_to, "factor": 3}]
        centre, radii = [0.11, 0.23, 0.37][:dimension], [radius] * dimension
        return {
            "materials": {"well": well, "barrier": barrier},
            "background": "barrier",
            "regions": [{"shape": "ellipsoid", "center_nm": centre, "radii_nm": radii, "material": "well"}],
            "grid": {"order": order, **{name: axis(reach, intervals, refine=refine) for name in "xyz"[:dimension]}},
            "states": 1,
        }

    return device


def hard_disk(order, intervals):
    return {
        "materials": {"dot": {"mass": 0.026, "band_edge_eV": 0.0}},
        "background": "hard_wall",
        "regions": [{"shape": "ellipsoid", "center_nm": [0.3, 0.7], "radii_nm": [40.0, 40.0], "material": "dot"}],
        "grid": {"order": order, "x": axis(43.0, intervals), "y": axis(43.0, intervals)},
        "states": 1,
    }


def material(mass, edge):
    return {"mass": mass, "band_edge_eV": edge}


disk = round_well(2, 10.0, material(0.067, 0.0), material(0.067, 0.1), 60.0, 12.0)
sphere = round_well(3, 5.0, material(0.067, 0.0), material(0.0919, 0.26), 18.0, 6.0)
contrast = round_well(3, 5.0, material(0.023, 0.0), material(0.067, 0.7), 18.0, 6.0)

# title, device, exact level in eV, and for each order of the elements the intervals along an axis
CASES = [
    ("triangular well, smooth", triangular_well, 0.056640512292263,
     {1: (120, 240, 480, 960), 2: (60, 120, 180, 240), 3: (45, 60, 90, 120), 4: (64, 80, 100)}),
    ("double well, two masses, aligned", double_well, 0.049136114968530,
     {1: (240, 480, 960, 1920), 2: (120, 240, 480, 960), 3: (180, 360, 540), 4: (240, 480)}),
    ("disk, one mass, cut", disk, 0.021107145000,
     {1: (48, 64, 84, 112, 148, 196), 2: (48, 64, 84, 112, 148, 196)}),
    ("sphere, masses 0.067 in 0.0919, cut", sphere, 0.116442108280,
     {1: (24, 29, 35, 42, 50, 60, 72), 2: (24, 30, 36, 42, 50, 60, 72)}),
    ("sphere, masses 0.023 in 0.067, cut", contrast, 0.259346458787,
     {1: (24, 29, 35, 42, 50, 60, 72), 2: (24, 30, 36, 42, 50, 60, 72)}),
    ("hard disk, cut", hard_disk, 0.005296595,
     {1: (40, 54, 72, 98, 130, 170, 220)}),
]


def measure(device, exact, order, intervals):
    """Errors in eV, and the order: the slope of the least-squares line through their logarithms."""
    errors = [qdsim.run(device(order, n)).energies_eV[0] - exact for n in intervals]
    return np.array(errors), -np.polyfit(np.log(intervals), np.log(np.abs(errors)), 1)[0]


def main():
    figure, panels = plt.subplots(2, 3, figsize=(15, 7), constrained_layout=True)
    print("| device | order of the elements | coarsest: intervals, error | finest: intervals, error | measured order |")
    print("|---|---|---|---|---|")
    for panel, (title, device, exact, grids) in zip(panels.flat, CASES):
        for order, intervals in grids.items():
            errors, slope = measure(device, exact, order, intervals)
            ends = [f"{intervals[i]}, {1e3 * errors[i]:.2g} meV" for i in (0, -1)]
            print(f"| {title} | {order} | {ends[0]} | {ends[1]} | {slope:.1f} |", flush=True)
            panel.loglog(intervals, 1e3 * np.abs(errors), "o-", label=f"order {order}: {slope:.1f}")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("intervals along an axis")
        panel.set_ylabel("error of the ground level (meV)")
        ticks = sorted({intervals[i] for intervals in grids.values() for i in (0, -1)})
        ticks = [ticks[0], ticks[-1]] if ticks[-1] < 8 * ticks[0] else [ticks[0], 4 * ticks[0], ticks[-1]]
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        panel.legend(title="elements: measured", fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        panel.grid(True, which="both", alpha=0.2)
    path = pathlib.Path(__file__).with_name("convergence.png")
    figure.savefig(path, dpi=110)
    print(f"drew {path}")


if __name__ == "__main__":
    main()
