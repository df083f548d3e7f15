from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.prompt import token_healing


@pytest.mark.parametrize(
    ("before", "kept", "forced_prefix"),
    [
        ("x = foo", "x =", " foo"),
        ("self.na", "self.", "na"),
        ("snake_ca", "snake_", "ca"),
        ("    return ", "    return", " "),
        ("def f():\n    ", "def f():\n   ", " "),
        ("if x:\n\tpri", "if x:\n\t", "pri"),
        ("größ = Straß", "größ =", " Straß"),
        ("x1", "x1", ""),
        ("f(", "f(", ""),
        ("x = 1\n", "x = 1\n", ""),
        ("def f():\n\t", "def f():\n\t", ""),
        ("", "", ""),
    ],
)
def test_unfinished_word_and_its_blank_become_the_forced_prefix(before: str, kept: str, forced_prefix: str) -> None:
    assert token_healing.split_unfinished_word(before) == (kept, forced_prefix)


@pytest.mark.parametrize("before", ["word", " ", " word"])
def test_prompt_is_never_emptied(before: str) -> None:
    assert token_healing.split_unfinished_word(before) == (before, "")


def test_run_of_letters_too_long_for_a_word_stays_in_the_prompt() -> None:
    assert token_healing.split_unfinished_word("x = " + "a" * 41) == ("x = " + "a" * 41, "")
    assert token_healing.split_unfinished_word("x = " + "a" * 39) == ("x =", " " + "a" * 39)


@given(st.text(alphabet=st.sampled_from("ab_ .(\n\t1ß漢"), max_size=60))
def test_parts_together_are_the_text_and_only_letters_are_forced(before: str) -> None:
    kept, forced_prefix = token_healing.split_unfinished_word(before)
    assert kept + forced_prefix == before
    assert re.fullmatch(r" ?[^\W\d_]*", forced_prefix)
