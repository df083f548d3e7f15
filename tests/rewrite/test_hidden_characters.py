from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.rewrite.hidden_characters import cleaned


@given(st.text())
def test_nothing_that_hides_or_steers_is_left(text: str) -> None:
    kept = cleaned(text)
    for character in kept.replace("\n", "").replace("\t", "").replace("\u200d", ""):
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn")
    assert cleaned(kept) == kept


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs"))))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert cleaned(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("\x1b[31mred\x1b]8;;http://x\x07\x9b1m", "[31mred]8;;http://x1m"),
        ("\u202egnirts\u2066x\u2069", "gnirtsx"),
        ("zero\u200bwidth\u200d\ufeff\u00ad", "zerowidth"),
        ("\U000e0041\U000e0042tag", "tag"),
        ("👩\u200d💻 👩🏽\u200d🚀 ❤️\u200d🔥 ☕️", "👩\u200d💻 👩🏽\u200d🚀 ❤️\u200d🔥 ☕️"),
        ("a\u200d💻", "a💻"),
        ("\ud83d lone", " lone"),
        ("naïve 漢字 привет é e\u0301", "naïve 漢字 привет é e\u0301"),
    ],
)
def test_characters_are_kept_or_dropped(text: str, kept: str) -> None:
    assert cleaned(text) == kept


def test_what_the_file_holds_already_may_stay() -> None:
    assert cleaned("a\u200bb\u202ec", familiar="x\u200by") == "a\u200bbc"
