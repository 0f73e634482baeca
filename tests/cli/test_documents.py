"""Commands and variables in the documents: what they name is there, and prints what the documents say."""

import json
import os
import re
import subprocess

import numpy as np
import pytest

from command import COMMAND, ROOT

# Where environment variables of ours are read: quoted in C and Python, ${...} in scripts.
SOURCES = [path for folder in ("src", "cli", "plugins", "python", "tests") for path in (ROOT / folder).rglob("*")
           if path.suffix in (".c", ".h", ".cu", ".py", ".pyx")]
SCRIPTS = [ROOT / "dev", ROOT / "cmake/bundle/test"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_programs_that_a_page_runs_can_be_run(page):
    """./dev build makes the tests; a benchmark is made only when ./dev bench is given its name."""
    text = page.read_text()
    for program in re.findall(r"build/release/(\w+)\b(?!/)", text):
        assert list(ROOT.glob(f"tests/*/{program}.c")), f"./dev build does not make {program}"
    for name in re.findall(r"\./dev bench (\w+)", text):
        assert list((ROOT / "bench").glob(f"bench_{name}.*")), f"no benchmark {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_refers_to_is_there(page):
    text = page.read_text()
    for path in re.findall(r"\b(?:src|plugins|include|cli|python|tests|bench|examples|data|docs)/[\w./*-]*[\w*]", text):
        assert list(ROOT.glob(path)), f"no {path}"
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        target = page.parent / path if path else page
        assert target.exists(), f"no {path}"
        headings = [re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
                    for line in re.findall(r"^#+ (.*)", target.read_text(), re.M)] if anchor else []
        assert not anchor or anchor in headings, f"no heading #{anchor} in {target.name}"


def test_programs_in_pages_are_the_examples():
    """Which the C tests run."""
    shown = [block for page in PAGES for block in re.findall(r"^```c\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)]
    assert sorted(shown) == sorted(path.read_text() for path in (ROOT / "examples").glob("*.c"))


def test_every_environment_variable_is_in_the_table():
    read = {name for path in SOURCES for name in re.findall(r'"(QDSIM_[A-Z_]+)', path.read_text())}
    read |= {name for path in SCRIPTS for name in re.findall(r"\$\{(QDSIM_[A-Z_]+)", path.read_text())}
    table = re.findall(r"^\| `(QDSIM_\w+)` \|", (ROOT / "docs/environment.md").read_text(), re.M)
    assert sorted(table) == sorted(read)


def test_help_names_the_python_of_the_pictures(qdsim):
    assert "QDSIM_PYTHON" in qdsim("run", "--help").stdout


# The memory that qdsim check tells, and the part of it in files.
MEMORY = r"memory: about (\d+ MiB), of which at least (\d+ MiB) in files in /var/tmp"


def test_check_prints_the_memory_that_the_page_quotes():
    """Without plugins, as a GPU would take the vectors."""
    quoted = re.search(r'^ +qdsim (check .*\S) +# ".*' + MEMORY + '"$', (ROOT / "docs/memory.md").read_text(), re.M)
    environment = {**os.environ, "QDSIM_PLUGIN_DIR": "/nonexistent", "TMPDIR": ""}
    process = subprocess.run([COMMAND, *quoted[1].split()], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert re.search(MEMORY, process.stdout).groups() == quoted.groups()[1:]


@pytest.mark.parametrize("page", ["README.md", "docs/device-file.md"])
def test_the_device_that_a_page_describes_is_solved(qdsim, tmp_path, page):
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "dot.yaml").write_text(block)
    outcome = qdsim("run", "dot.yaml", "--json", "--no-plot")
    outcome.assert_status(0)
    assert len(json.loads(outcome.stdout)["states"]) == int(re.search(r"^states: (\d+)", block, re.M)[1])


# Each kind of map of a device file, and the pages that name its keys.
MAPS = {
    "": "device-file.md",
    "materials.own": "device-file.md",
    "materials.mixed": "device-file.md",
    "potential.0": "device-file.md",
    "potential.1": "device-file.md",
    "grid": "device-file.md",
    "grid.x": "device-file.md",
    "grid.x.refine.0": "device-file.md",
    "solver": "device-file.md",
    "output": "device-file.md",
    "electrostatics": "electrostatics.md",
    "electrostatics.contacts.0": "electrostatics.md",
    "doping.0": "electrostatics.md",
    "self_consistent": "electrostatics.md",
    "magnetic_field": "magnetic-field.md",
    "open": "open-systems.md",
}
EVERY_MAP = """
materials: {own: {mass: 1, band_edge_eV: 0, permittivity: 9}, mixed: {alloy: InGaAs, x: 0.5}}
background: own
potential: [{formula_eV: "x"}, {array_eV: zeros.npy}]
grid: {x: {from_nm: 0, to_nm: 9, nodes: 10, refine: [{from_nm: 3, to_nm: 6, factor: 2}]}, boundary: {x: neumann}}
electrostatics: {contacts: [{face: x-, potential_V: 0}]}
doping: [{donors_cm3: 1e17}]
self_consistent: {electrons: neutral}
"""


@pytest.mark.parametrize("place", MAPS)
def test_every_key_of_a_device_file_is_in_a_page(qdsim, device, tmp_path, place):
    """The refusal of an unknown key lists the known ones."""
    np.save(tmp_path / "zeros.npy", np.zeros(10))
    outcome = qdsim("check", device(EVERY_MAP), "--set", f"{place}.zzz=1".lstrip("."))
    outcome.assert_status(3)
    allowed = re.search(r"\(allowed: (.*?)\)", outcome.stderr)[1].split(", ")
    text = (ROOT / "docs" / MAPS[place]).read_text()
    absent = [key for key in allowed if not re.search(rf"[`{{ ]{key}(`|: )|^ *{key}:", text, re.M)]
    assert not absent, f"{MAPS[place]} does not name {absent}"
