"""Commands in the documents: what they run is there, and prints what the documents say."""

import re

import pytest

from command import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_programs_that_a_page_runs_can_be_run(page):
    """./dev build makes the tests; a benchmark is made only when ./dev bench is given its name."""
    text = page.read_text()
    for program in re.findall(r"build/release/(\w+)", text):
        assert list(ROOT.glob(f"tests/*/{program}.c")), f"./dev build does not make {program}"
    for name in re.findall(r"\./dev bench (\w+)", text):
        assert list((ROOT / "bench").glob(f"bench_{name}.*")), f"no benchmark {name}"
