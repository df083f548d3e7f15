"""The example of docs/scripting.md, run unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scripting.md"
CODE = """class Polygon:
    def __init__(self, name, sides, color="red"):
        self.name = name
        self.sides = sides
        self."""


@pytest.mark.slow
def test_script_of_the_document_prints_suggestions(tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in script.splitlines() if line.strip()]) <= 30
    (tmp_path / "ask.py").write_text(script)
    (tmp_path / "shapes.py").write_text(CODE)
    command = [sys.executable, str(tmp_path / "ask.py"), str(tmp_path / "shapes.py"), "4", "13"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert result.returncode == 0, result.stderr
    heading, *suggestions = result.stdout.splitlines()
    assert heading == "bundled on cpu says:"
    assert suggestions
    assert suggestions[0].strip()
