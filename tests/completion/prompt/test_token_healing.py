from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from starcoder_ls.completion.prompt import token_healing

QWEN_PRE_TOKENIZER = pre_tokenizers.Split(
    Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "isolated",
)
"""That of Qwen2.5's tokenizer.json."""


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


@pytest.mark.parametrize(
    ("before", "kept", "forced_prefix"),
    [
        ("x = self.app", "x = self", ".app"),
        ("x = self.", "x = self", "."),
        ("snake_ca", "snake", "_ca"),
        ("foo(", "foo", "("),
        ("foo((sel", "foo((", "sel"),
        ("if (sel", "if (", "sel"),
        ("x = fo", "x =", " fo"),
        ("x = [", "x =", " ["),
        ("__in", "__", "in"),
        ("\t\tret", "\t", "\tret"),
        ("if x:\n\t\t", "if x:\n\t", "\t"),
        ("def f():\n    ", "def f():\n   ", " "),
        ("x = 1", "x = 1", ""),
        ("x = 1\n", "x = 1\n", ""),
        ("x = 1\nwor", "x = 1\n", "wor"),
    ],
)
def test_character_that_the_tokenizer_joins_with_letters_is_forced_too(
    before: str, kept: str, forced_prefix: str
) -> None:
    assert token_healing.split_unfinished_word(before, joins_punctuation=True) == (kept, forced_prefix)


@given(st.text(alphabet=st.sampled_from('ab_ .("\n\t1ß漢'), max_size=30), st.text('ab_ .("\t1', max_size=6))
def test_kept_text_ends_where_gpt4s_pre_tokenizer_splits(before: str, following: str) -> None:
    kept, forced_prefix = token_healing.split_unfinished_word(before, joins_punctuation=True)
    assert kept + forced_prefix == before
    if before[-1:].isspace():
        following = following.lstrip()  # more blanks would be one word with those before them
    words = QWEN_PRE_TOKENIZER.pre_tokenize_str(before + following + "x")
    if forced_prefix:
        assert len(kept) in {end for _, (_, end) in words}


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
