"""The code in docs/python.md runs from top to bottom."""

import re

import pytest


def test_code_blocks_run(root, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(root / "examples")
    monkeypatch.chdir(tmp_path)
    text = (root / "docs/python.md").read_text()
    blocks = [(text[: match.start()].count("\n") + 2, match[1])
              for match in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    assert len(blocks) >= 8
    names = {}
    for line, block in blocks:
        try:
            exec(compile("\n" * (line - 1) + block, "docs/python.md", "exec"), names)
        except Exception as error:
            pytest.fail(f"docs/python.md:{line}: {type(error).__name__}: {error}")
