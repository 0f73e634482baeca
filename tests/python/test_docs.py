"""The code of README.md and of pages in docs/ runs from top to bottom."""

import re

import pytest


@pytest.mark.parametrize("page, fewest", [("README.md", 1), ("docs/python.md", 9), ("docs/memory.md", 1), ("docs/devices.md", 1)])
def test_code_blocks_run(root, tmp_path, monkeypatch, page, fewest):
    pytest.importorskip("matplotlib")
    (tmp_path / "examples").symlink_to(root / "examples")
    monkeypatch.chdir(tmp_path)
    if not (root / page).exists():
        pytest.skip("a bundle has no README.md of the source tree")
    text = (root / page).read_text()
    blocks = [(text[: match.start()].count("\n") + 2, match[1])
              for match in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    assert len(blocks) >= fewest
    names = {}
    for line, block in blocks:
        try:
            exec(compile("\n" * (line - 1) + block, page, "exec"), names)
        except Exception as error:
            pytest.fail(f"{page}:{line}: {type(error).__name__}: {error}")
