from __future__ import annotations

import pytest

from starcoder_ls.rewrite.target import expand_to_function, extract_comment_instruction, find_target

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
def test_selection_expands_to_whole_lines(begin: str, end: str, code: str) -> None:
    found = find_target(CODE, CODE.index(begin), CODE.index(end) + len(end), "python")
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_selection_excludes_its_last_line_end(line_end: str) -> None:
    text = CODE.replace("\n", line_end)
    start = text.index("def")
    found = find_target(text, start, text.index("x = 1"), "python")
    assert found is not None
    assert found.code == f"def f(a):{line_end}    return a"
    assert found.is_function
    assert found.line_numbers == (4, 5)


def test_blank_selection_and_cursor_outside_functions_have_no_target() -> None:
    assert find_target(CODE, 9, 12, "python") is None
    assert find_target(CODE, 0, 0, "python") is None
    assert find_target("", 0, 0, "python") is None


def test_part_of_a_function_expands_to_the_function() -> None:
    part = find_target(CODE, CODE.index("return"), CODE.index("return") + 3, "python")
    assert part is not None
    assert not part.is_function
    whole = expand_to_function(part)
    assert whole is not None
    assert whole.code == "def f(a):\n    return a"
    outside = find_target(CODE, 0, 3, "python")
    assert outside is not None
    assert expand_to_function(outside) is None


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("# use a dict\nx = 1\n", "use a dict"),
        ("  // use a map\n  x = 1;\n", "use a map"),
        ("/* use a map */\r\nx = 1;\r\n", "use a map"),
        ("-- use a table\nx = 1\n", "use a table"),
    ],
)
def test_comment_on_the_first_line_becomes_the_instruction(text: str, instruction: str) -> None:
    target = find_target(text, 0, len(text))
    assert target is not None
    below = extract_comment_instruction(target)
    assert below is not None
    assert below.instruction == instruction
    assert below.code.strip().startswith("x = 1")


@pytest.mark.parametrize("text", ["#include <a.h>\nint x;\n", "#!/bin/sh x\ny\n", "# one\nx\n", "x\n", "# only this\n"])
def test_other_first_lines_are_no_instruction(text: str) -> None:
    target = find_target(text, 0, len(text))
    assert target is not None
    assert extract_comment_instruction(target) is None
