from __future__ import annotations

import pytest

from starcoder_ls.completion.prompt.commented_files import format_as_comments
from starcoder_ls.context.snippets import Snippet

SNIPPET = Snippet("src/a.py", "def f():\n\n    return 1")


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("python", "# src/a.py:\n# def f():\n\n#     return 1\n"),
        ("go", "// src/a.py:\n// def f():\n\n//     return 1\n"),
        ("sql", "-- src/a.py:\n-- def f():\n\n--     return 1\n"),
        ("html", "<!-- src/a.py: -->\n<!-- def f(): -->\n\n<!--     return 1 -->\n"),
        ("", "// src/a.py:\n// def f():\n\n//     return 1\n"),
    ],
)
def test_every_line_that_is_not_blank_becomes_a_comment(language: str, expected: str) -> None:
    assert format_as_comments([SNIPPET], language) == expected


def test_snippets_follow_each_other_and_none_gives_no_text() -> None:
    assert format_as_comments([SNIPPET, Snippet("b.py", "x")], "python").endswith("1\n# b.py:\n# x\n")
    assert format_as_comments([], "python") == ""
