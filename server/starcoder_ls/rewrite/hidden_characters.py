"""Removes characters from a model's answer that control a terminal, change the text direction or cannot be seen.

Such characters can make code look different from what it does (Trojan Source, CVE-2021-42574). Characters that the
user's own file contains are kept.
"""

from __future__ import annotations

import re
import unicodedata

_ZERO_WIDTH_JOINER, _EMOJI_SELECTOR = "\u200d", "\ufe0f"
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters and a symbol that have no visible shape
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x85]")
_NOT_PLAIN_ASCII = re.compile(r"[^\n\t -~]")


def strip_hidden_characters(text: str, allowed: str = "") -> str:
    """``text`` without hidden characters, but for those in ``allowed``, and with line feeds as its only line ends."""
    kept: list[str] = []
    text = _LINE_ENDS.sub("\n", text)
    start = 0
    for match in _NOT_PLAIN_ASCII.finditer(text):
        kept.append(text[start : match.start()])
        start = match.end()
        following = text[start : start + 1]
        if match[0] in allowed or _is_visible(match[0], kept, following):
            kept.append(match[0])
    return "".join([*kept, text[start:]])


def _is_visible(character: str, before: list[str], following: str) -> bool:
    if character == _ZERO_WIDTH_JOINER:
        previous = "".join(before[-5:]).rstrip(_EMOJI_SELECTOR)[-1:]
        return _is_emoji(previous) and _is_emoji(following)
    if character == _EMOJI_SELECTOR:
        return bool("".join(before[-3:])[-1:].strip())
    is_selector = "\ufe00" <= character <= "\ufe0e" or "\U000e0100" <= character <= "\U000e01ef"
    is_hidden = is_selector or character in _BLANK_LETTERS
    return not is_hidden and unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn")


def _is_emoji(character: str) -> bool:
    """Whether ``character`` is an emoji or a skin tone: a joiner has a visible effect only between two of these."""
    return character != "" and unicodedata.category(character) in ("So", "Sk")
