from __future__ import annotations

import pytest

from starcoder_ls.rewrite.target import function_of, instructed_by_comment, selected

CODE = "import os\n\n\ndef f(a):\n    return a\n\n\nx = 1\n"


@pytest.mark.parametrize(
    ("begin", "end", "code"),
    [
        ("f(a)", "f(a)", "def f(a):"),
        ("import", "def", "import os\n\n\ndef f(a):"),
        ("\n\ndef", "return a\n\n", "def f(a):\n    return a"),
        ("    return", "return a\n", "    return a"),
    ],
)
def test_a_selection_means_the_whole_lines_it_touches(begin: str, end: str, code: str) -> None:
    found = selected(CODE, CODE.index(begin), CODE.index(end) + len(end), "python")
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_belong_to_a_selection(line_end: str) -> None:
    text = CODE.replace("\n", line_end)
    start = text.index("def")
    found = selected(text, start, text.index("x = 1"), "python")
    assert found is not None
    assert found.code == f"def f(a):{line_end}    return a"
    assert found.is_function
    assert found.line_numbers == (4, 5)


def test_blanks_alone_and_a_cursor_outside_of_functions_mean_nothing() -> None:
    assert selected(CODE, 9, 12, "python") is None
    assert selected(CODE, 0, 0, "python") is None
    assert selected("", 0, 0, "python") is None


def test_a_part_of_a_function_leads_to_the_whole() -> None:
    part = selected(CODE, CODE.index("return"), CODE.index("return") + 3, "python")
    assert part is not None
    assert not part.is_function
    whole = function_of(part)
    assert whole is not None
    assert whole.code == "def f(a):\n    return a"
    outside = selected(CODE, 0, 3, "python")
    assert outside is not None
    assert function_of(outside) is None


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("# use a dict\nx = 1\n", "use a dict"),
        ("  // use a map\n  x = 1;\n", "use a map"),
        ("/* use a map */\r\nx = 1;\r\n", "use a map"),
        ("-- use a table\nx = 1\n", "use a table"),
    ],
)
def test_a_comment_on_the_first_line_instructs(text: str, instruction: str) -> None:
    target = selected(text, 0, len(text))
    assert target is not None
    below = instructed_by_comment(target)
    assert below is not None
    assert below.instruction == instruction
    assert below.code.strip().startswith("x = 1")


@pytest.mark.parametrize("text", ["#include <a.h>\nint x;\n", "#!/bin/sh x\ny\n", "# one\nx\n", "x\n", "# only this\n"])
def test_other_first_lines_do_not(text: str) -> None:
    target = selected(text, 0, len(text))
    assert target is not None
    assert instructed_by_comment(target) is None
