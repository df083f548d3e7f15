"""Invisible characters, and characters that control a terminal or the text direction, in text that a model wrote.

Such characters can make code look different from what it does (Trojan Source, CVE-2021-42574). Unicode's categories
decide what is hidden; emoji sequences and scripts whose letters join keep the characters that they need.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

_HIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"))
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffd")
"""Letters, marks and a symbol without a visible shape, in categories of visible characters; and broken UTF-8."""
_VISIBLE_FORMAT = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that are drawn around digits (Unicode: Prepended_Concatenation_Mark)."""

_NON_JOINER, _JOINER = "\u200c", "\u200d"
_TEXT_STYLE, _EMOJI_STYLE = "\ufe0e", "\ufe0f"
_KEYCAP = "\u20e3"
_TAG_FLAGS = ("gbeng", "gbsct", "gbwls")  # England, Scotland, Wales: the only ones that Unicode recommends
_TAG_SEQUENCES = frozenset("".join(chr(0xE0000 + ord(letter)) for letter in flag) + "\U000e007f" for flag in _TAG_FLAGS)
_BLACK_FLAG, _TAG_CHARS = "\U0001f3f4", 6
_CURSIVE_BLOCKS = (0x0600, 0x0860, 0x08A0, 0x0E00, 0x0F00, 0x10A0, 0x1780, 0x18B0, 0xA840, 0xA880, 0xA8E0, 0xA900)
"""Starts and ends of blocks, in turns: Arabic to Mandaic, Arabic Extended to Sinhala, Tibetan and Myanmar, Khmer and
Mongolian, Phags-pa, Devanagari Extended."""
_VIRAMA_CLASS = 9

_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x85]")
_NOT_PLAIN_ASCII = re.compile(r"[^\n\t -~]")
_NOT_PLAIN_LINE = re.compile(r"[^\r\n\t -~]")


def strip_hidden_characters(text: str, allowed: str = "") -> str:
    """``text`` without hidden characters, but for those in ``allowed``, and with line feeds as its only line ends."""
    kept: list[str] = []
    text = _LINE_ENDS.sub("\n", text)
    start = 0
    for match in _NOT_PLAIN_ASCII.finditer(text):
        kept.append(text[start : match.start()])
        start = match.end()
        before, following = "".join(kept[-2 * _TAG_CHARS :]), text[start : start + _TAG_CHARS]
        if match[0] in allowed or not _is_hidden(match[0], before, following):
            kept.append(match[0])
    return "".join([*kept, text[start:]])


def find_hidden_character(text: str) -> int | None:
    """The index of the first hidden character; None if there is none.

    ``text`` may go on: a character at its end that what follows can make visible is not counted. Carriage returns are
    not counted.
    """
    for match in _NOT_PLAIN_LINE.finditer(text):
        index = match.start()
        before, following = text[max(0, index - 2 * _TAG_CHARS) : index], text[index + 1 : index + 1 + _TAG_CHARS]
        if _is_hidden(match[0], before, following, may_continue=index + 1 + len(following) == len(text)):
            return index
    return None


def strip_incomplete_end(text: str) -> str:
    """``text``, which does not go on, without joiners and selectors at its end that wait for another character."""
    while text and not text[-1].isascii() and find_hidden_character(f"{text[-4 * _TAG_CHARS :]}\n") is not None:
        text = text[:-1]
    return text


def _is_hidden(character: str, before: str, following: str, may_continue: bool = False) -> bool:
    """Whether ``character`` has no visible effect between ``before`` and ``following``, of which a few are needed."""
    may_be_completed = may_continue and not following
    if character in (_JOINER, _NON_JOINER):
        return not _joins(character, before, following, may_be_completed)
    if character in (_TEXT_STYLE, _EMOJI_STYLE):
        is_keycap = before[-1:] in tuple("0123456789#*") and (following[:1] == _KEYCAP or may_be_completed)
        return not (is_keycap or _has_emoji_style(before[-1:]))
    if "\U000e0020" <= character <= "\U000e007f":
        return not _is_in_tag_sequence(character, before, following, may_continue)
    is_selector = "\ufe00" <= character <= "\ufe0d" or "\U000e0100" <= character <= "\U000e01ef"
    if is_selector or character in _INVISIBLE:
        return True
    is_emoji_block = "\U0001f000" <= character <= "\U0001faff"  # newer emoji are unassigned to an older Python
    is_visible = is_emoji_block or character in _VISIBLE_FORMAT
    return not is_visible and unicodedata.category(character) in _HIDDEN_CATEGORIES


def _joins(joiner: str, before: str, following: str, may_be_completed: bool) -> bool:
    """Whether a joiner stands between two emoji, or between two letters of a script whose letters join."""
    base = before.rstrip(_EMOJI_STYLE)[-1:]
    if joiner == _JOINER and _is_emoji(base):
        return may_be_completed or _is_emoji(following[:1])
    if not _is_cursive_letter(before[-1:]):
        return False
    is_after_virama = unicodedata.combining(before[-1:]) == _VIRAMA_CLASS
    return may_be_completed or is_after_virama or _is_cursive_letter(following[:1])


def _is_cursive_letter(character: str) -> bool:
    is_in_block = character != "" and bisect_right(_CURSIVE_BLOCKS, ord(character)) % 2 == 1
    return is_in_block and unicodedata.category(character)[0] in "LM" and character not in _INVISIBLE


def _is_emoji(character: str) -> bool:
    """Whether ``character`` is an emoji or a skin tone: a joiner has a visible effect only between two of these."""
    if character <= "\x7f" or character in _INVISIBLE:
        return False
    return "\U0001f000" <= character <= "\U0001faff" or unicodedata.category(character) in ("So", "Sk", "Sm")


def _has_emoji_style(character: str) -> bool:
    """Whether ``character`` may be drawn as an emoji and as text (``‼``, ``〰`` and ``ℹ`` are no symbols)."""
    return _is_emoji(character) or (character != "" and character in "\u203c\u2049\u2139\u3030\u303d")


def _is_in_tag_sequence(character: str, before: str, following: str, may_continue: bool) -> bool:
    """Whether ``character`` belongs to a tag sequence of a flag; other tags are a way to hide text."""
    _, flag, start = before[-_TAG_CHARS:].rpartition(_BLACK_FLAG)
    if not flag:
        return False
    tags = start + character + following
    is_complete = any(tags.startswith(sequence) for sequence in _TAG_SEQUENCES)
    is_beginning = may_continue and any(sequence.startswith(tags) for sequence in _TAG_SEQUENCES)
    return is_complete or is_beginning
