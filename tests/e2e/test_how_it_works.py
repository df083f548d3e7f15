"""The code examples of docs/how-it-works.md run in order and give the values after their `# →` arrows."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-it-works.md"
_ARROW = re.compile(r"# → (.*)")


def run(source: str, names: dict[str, Any]) -> int:
    """Run ``source`` in ``names``. Returns the number of arrows checked; asserts that each is right."""
    checked = 0
    for node in ast.parse(source).body:
        body = [node]
        if isinstance(node, ast.With) and isinstance(node.body[-1], ast.Expr):
            body = [ast.copy_location(ast.With(node.items, [_assign_result(node.body[-1])]), node)]
        elif isinstance(node, ast.Expr):
            body = [_assign_result(node)]
        names.pop("_result", None)
        exec(compile(ast.fix_missing_locations(ast.Module(body, [])), str(PAGE), "exec"), names)
        arrow = _ARROW.search(source.splitlines()[(node.end_lineno or 1) - 1])
        if arrow and "_result" in names:
            assert repr(names["_result"]) == arrow[1], ast.unparse(node)
            checked += 1
    return checked


def _assign_result(node: ast.Expr) -> ast.stmt:
    return ast.copy_location(ast.Assign([ast.Name("_result", ast.Store())], node.value), node)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_examples_run_and_give_the_values_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    checked = sum(run(source, names) for source in re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert checked == page.count("# → "), "an arrow is on a line without an expression"


def test_every_file_on_the_page_exists() -> None:
    package = PAGE.parents[1] / "server" / "starcoder_ls"
    for name in re.findall(r"`([a-z_/]+\.py)`", PAGE.read_text(encoding="utf-8")):
        assert (package / name).is_file(), name


def test_wrong_value_after_an_arrow_fails() -> None:
    assert run("1 + 1  # → 2\n", {}) == 1
    with pytest.raises(AssertionError):
        run("1 + 1  # → 3\n", {})
