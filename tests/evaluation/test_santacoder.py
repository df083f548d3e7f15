from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import santacoder

ROW = {
    "name": "a",
    "language": "py",
    "prompt": "def f(a):",
    "suffix": "    return b\n",
    "canonical_solution": "    b = 1",
}


@pytest.mark.parametrize(
    ("answer", "is_exact", "is_first_line"),
    [
        ("\n    b = 1", True, True),
        ("    b = 1\n", True, True),
        (" \n    b = 1\n    return b", False, True),
        ("b = 1\nc = 2", False, True),
        ("\n\n    b = 1", True, False),
        ("\nreturn\n    b = 1", False, False),
        ("b  = 1", False, False),
        ("", False, False),
        ("\n", False, False),
    ],
)
def test_answer_is_scored_by_both_conventions(answer: str, is_exact: bool, is_first_line: bool) -> None:
    assert santacoder.is_exact_match(answer, ROW["canonical_solution"]) is is_exact
    assert santacoder.is_first_line_match(answer, ROW["canonical_solution"]) is is_first_line


def test_problem_has_its_language_and_texts() -> None:
    (problem,) = santacoder.parse_problems([ROW], Path("file"))
    assert (problem.name, problem.language, problem.prefix, problem.middle) == ("a", "py", "def f(a):", "    b = 1")
    assert problem.has_word
    assert not santacoder.parse_problems([ROW | {"canonical_solution": "  }"}], Path("file"))[0].has_word


def test_format_is_recognized_by_its_fields() -> None:
    assert santacoder.is_santacoder_row(ROW)
    assert not santacoder.is_santacoder_row({"task_id": "x", "entry_point": "f", "prompt": ""})


@pytest.mark.parametrize("change", [{"suffix": None}, {"prompt": 3}])
def test_row_without_a_text_is_rejected_with_its_line(change: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"file, line 2: no text in {min(change)}"):
        santacoder.parse_problems([ROW, ROW | change], Path("file"))
