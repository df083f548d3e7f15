from __future__ import annotations

from starcoder_ls.notebooks.cells import Cell, CellKind
from starcoder_ls.notebooks.script import MAX_ABOVE_CHARS, MAX_BELOW_CHARS, build_view, script_of

TEXT = Cell(CellKind.MARKDOWN, "# Title\n\nSome *text*", "markdown")
PLOT = Cell(CellKind.CODE, "%matplotlib inline\nimport numpy as np\n", "python", "ignored")
SHELL = Cell(CellKind.CODE, "%%bash\nls", "python")
LAST = Cell(CellKind.CODE, "last()", "python")


def code(text: str) -> Cell:
    return Cell(CellKind.CODE, text, "python")


def test_python_script_comments_out_everything_that_is_no_python() -> None:
    script = script_of([TEXT, PLOT, Cell(CellKind.CODE, "  \n", "python"), SHELL], "python")
    assert script.text == (
        "# # Title\n\n# Some *text*\n\n# %matplotlib inline\nimport numpy as np\n\n# %%bash\n# ls\n\n"
    )
    compile(script.text, "script", "exec")
    assert [each.cell for each in script.cells] == [TEXT, PLOT, SHELL]
    assert [script.text[each.start : each.end] for each in script.cells][
        1
    ] == "# %matplotlib inline\nimport numpy as np"


def test_code_around_a_markdown_cell_stands_in_fences() -> None:
    assert script_of([code("x = 1"), TEXT], "markdown").text == ("```python\nx = 1\n```\n\n# Title\n\nSome *text*\n\n")


def test_languages_are_compared_by_their_table_entry() -> None:
    assert script_of([Cell(CellKind.CODE, "x <- 1", "R")], "r").text == "x <- 1\n\n"
    assert script_of([Cell(CellKind.CODE, "x <- 1", "r")], "python").text == "# x <- 1\n\n"


def test_view_embeds_the_cell_between_the_others() -> None:
    view = build_view([TEXT, code("a = 1")], iter([LAST]), code("b = "))
    assert view.embed("b = ") == "# # Title\n\n# Some *text*\n\na = 1\n\nb = \n\nlast()\n"
    below = view.below.cells[0]
    assert view.below.text[below.start : below.end] == "last()"
    assert build_view([], [], LAST).embed("last()") == "last()"


def test_cell_with_another_language_by_its_magic_sees_code_as_comments() -> None:
    assert build_view([code("a = 1")], [], SHELL).above.text == "# a = 1\n\n"


def test_cells_beyond_the_limits_are_left_out() -> None:
    long = code("".join(f"value_{number} = {number}\n" for number in range(9000)))
    view = build_view([code("far = 1"), long, code("near = 1")], iter([LAST, long, code("far = 2")]), code(""))
    assert MAX_ABOVE_CHARS / 2 < len(view.above.text) <= MAX_ABOVE_CHARS + 10
    assert MAX_BELOW_CHARS / 2 < len(view.below.text) <= MAX_BELOW_CHARS + 10
    assert view.above.text.endswith("value_8999 = 8999\n\nnear = 1\n\n")
    assert "far" not in view.above.text + view.below.text
    assert view.above.text.startswith("value_")
    assert view.below.text.startswith("\n\nlast()\n\nvalue_0 = 0\n")
