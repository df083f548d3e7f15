from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.hidden_characters import find_hidden_character, strip_hidden_characters, strip_incomplete_end

VISIBLE_FORMAT = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
HIDDEN = (
    "\u061c\u00ad\u180e\u2061\u2062\u2063\u2064\u2065\u206a\u206b\u206c\u206d\u206e\u206f\u115f\u1160\u3164\uffa0\u2800"
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff\ufffd\x00\x08\x0b\x0c\x1b\x7f\x85\x9f\u2028\u2029"
    "\ufe00\ufe0f\U000e0041\U000e007f\U000e0101\u034f\u17b4\u17b5\u180b\u180f\ufff9\ufffb\U0001d173\U0001bca0\U000e0001"
)
EMOJI = (
    "👩\u200d👩\u200d👧",
    "🏳️\u200d🌈",
    "1️⃣ #️⃣",
    "❤️",
    "‼️",
    "ℹ️",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
)
JOINED = ("می\u200cخواهم", "क्\u200dष", "ശ്രീ ന്\u200d", "ශ්\u200dරී", "\u0601\u0661")


@given(st.text())
def test_no_hidden_or_control_character_is_left(text: str) -> None:
    kept = strip_hidden_characters(text)
    for character in re.sub(f"[\n\t\u200c\u200d{VISIBLE_FORMAT}\U0001f000-\U0001faff]", "", kept):
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
    assert strip_hidden_characters(kept) == kept


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs"))))
def test_plain_text_is_unchanged(text: str) -> None:
    assert strip_hidden_characters(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("`\u200d👧 +\u200d👧 👧\u200d=", "`👧 +👧 👧="),
        ("👧\u200d\ufffd 👧\u200d\u2800.", "👧 👧."),
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


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda character: f"U+{ord(character):04X}")
def test_hidden_character_is_found_in_suggestions_and_removed_from_texts(hidden: str) -> None:
    assert find_hidden_character(f"safe{hidden}evil") == len("safe")
    assert strip_hidden_characters(f"safe{hidden}evil").replace("\n", "") == "safeevil"


@pytest.mark.parametrize("text", [*EMOJI, *JOINED, "a\r\nb", "é e\u0301 漢字 한글"])
def test_emoji_and_cursive_scripts_are_visible_while_generated(text: str) -> None:
    assert strip_hidden_characters(text.replace("\r", "")) == text.replace("\r", "")
    assert all(find_hidden_character(text[:end]) is None for end in range(len(text) + 1))


@given(st.text(st.sampled_from(HIDDEN + "ab👩🏴ن\u094dक1\u20e3\U000e0067\U000e0062")))
def test_suggestions_and_texts_hide_the_same_characters(text: str) -> None:
    found = find_hidden_character(text + "\n")
    assert found is None or strip_hidden_characters(text) != text
    visible = strip_hidden_characters(text)
    assert find_hidden_character(visible + "\n") is None
    assert strip_hidden_characters(visible) == visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "a"),
        ("", ""),
        ("x = '👩\u200d", "x = '👩"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("1\ufe0f", "1"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("\U0001f3f4\U000e0067\U000e0062", "\U0001f3f4"),
        ("é漢", "é漢"),
    ],
)
def test_character_that_waits_for_another_is_cut_from_the_end(text: str, expected: str) -> None:
    assert strip_incomplete_end(text) == expected
