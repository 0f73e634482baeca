"""Commands and variables in the documents: what they name is there, and prints what the documents say."""

import os
import re
import subprocess

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
