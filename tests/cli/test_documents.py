"""Commands and variables in the documents: what they name is there, and prints what the documents say."""

import re

import pytest

from command import ROOT

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


def test_every_environment_variable_is_in_the_table():
    read = {name for path in SOURCES for name in re.findall(r'"(QDSIM_[A-Z_]+)', path.read_text())}
    read |= {name for path in SCRIPTS for name in re.findall(r"\$\{(QDSIM_[A-Z_]+)", path.read_text())}
    table = re.findall(r"^\| `(QDSIM_\w+)` \|", (ROOT / "docs/environment.md").read_text(), re.M)
    assert sorted(table) == sorted(read)


def test_help_names_the_python_of_the_pictures(qdsim):
    assert "QDSIM_PYTHON" in qdsim("run", "--help").stdout
