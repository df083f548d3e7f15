"""Every piece of code in docs/how-it-works.md runs, in order, and says what stands behind its arrows."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-it-works.md"
_ARROW = re.compile(r"# → (.*)")


def run(source: str, names: dict[str, Any]) -> int:
    """How many arrows were right; the first that is not fails."""
    held = 0
    for node in ast.parse(source).body:
        body = [node]
        if isinstance(node, ast.With) and isinstance(node.body[-1], ast.Expr):
            body = [ast.copy_location(ast.With(node.items, [_kept(node.body[-1])]), node)]
        elif isinstance(node, ast.Expr):
            body = [_kept(node)]
        names.pop("_said", None)
        exec(compile(ast.fix_missing_locations(ast.Module(body, [])), str(PAGE), "exec"), names)
        arrow = _ARROW.search(source.splitlines()[(node.end_lineno or 1) - 1])
        if arrow and "_said" in names:
            assert repr(names["_said"]) == arrow[1], ast.unparse(node)
            held += 1
    return held


def _kept(node: ast.Expr) -> ast.stmt:
    return ast.copy_location(ast.Assign([ast.Name("_said", ast.Store())], node.value), node)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_every_piece_of_code_says_what_it_claims() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    held = sum(run(source, names) for source in re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert held == page.count("# → "), "an arrow stands where nothing is compared"


def test_every_file_it_names_exists() -> None:
    package = PAGE.parents[1] / "server" / "starcoder_ls"
    for name in re.findall(r"`([a-z_/]+\.py)`", PAGE.read_text(encoding="utf-8")):
        assert (package / name).is_file(), name


def test_a_wrong_arrow_fails() -> None:
    assert run("1 + 1  # → 2\n", {}) == 1
    with pytest.raises(AssertionError):
        run("1 + 1  # → 3\n", {})
