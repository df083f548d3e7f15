from __future__ import annotations

import pytest

from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.next_edit.edit_subject import write_subject


def edit(line_start: str, before: str, after: str, line_end: str = "") -> RecentEdit:
    return RecentEdit("file:///a.py", "/a.py", 0, before, after, line_start, line_end)


@pytest.mark.parametrize(
    ("made", "subject"),
    [
        (edit("def f(", "size", "count", "):"), "Rename size to count"),
        (edit("x = get_", "s", "c", "ize()"), "Rename get_size to get_cize"),
        (edit("f(a", "", ", timeout", ")"), "Add timeout"),
        (edit("f(a", ", timeout", "", ")"), "Remove timeout"),
        (edit("if a ", "<", "<=", " b:"), "Change < to <="),
        (edit("x = ", "10", "20"), "Change 10 to 20"),
        (edit("", "", "\n\ndef load(path):\n    return path"), "Add load"),
        (edit("", "a = 1\nb = 2\n", "", "c = 3"), "Remove a = 1"),
        (edit("", "    old(1)\n    x()", "    new(1)\n    x()"), "Rename old to new"),
        (edit("a", "", "   "), ""),
    ],
)
def test_subject_says_what_the_edit_did(made: RecentEdit, subject: str) -> None:
    assert write_subject([made]) == subject


def test_two_different_edits_are_joined() -> None:
    rename, other = edit("f(", "a", "b", ")"), edit("g(x", "", ", key", ")")
    assert write_subject([rename, rename, other, edit("", "c", "d")]) == "Rename a to b and add key"


def test_long_text_is_cut() -> None:
    subject = write_subject([edit("", "", "word " * 60)])
    assert len(subject) <= 60
    assert subject.startswith("Add word word")
    assert write_subject([edit("", "", "w" * 300)]) == "Add " + "w" * 48


def test_secret_is_masked() -> None:
    secret = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
    assert "aB3dE6" not in write_subject([edit("token = ", '""', f'"{secret}"')])


def test_no_edit_has_no_subject() -> None:
    assert write_subject([]) == ""
