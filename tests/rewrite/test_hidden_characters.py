from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.rewrite.hidden_characters import strip_hidden_characters


@given(st.text())
def test_no_hidden_or_control_character_is_left(text: str) -> None:
    kept = strip_hidden_characters(text)
    for character in kept.replace("\n", "").replace("\t", "").replace("\u200d", ""):
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn")
    assert strip_hidden_characters(kept) == kept


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs"))))
def test_plain_text_is_unchanged(text: str) -> None:
    assert strip_hidden_characters(text) == text


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
def test_visible_characters_are_kept_and_hidden_ones_removed(text: str, kept: str) -> None:
    assert strip_hidden_characters(text) == kept


def test_allowed_characters_are_kept() -> None:
    assert strip_hidden_characters("a\u200bb\u202ec", allowed="x\u200by") == "a\u200bbc"
