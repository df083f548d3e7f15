"""Which characters of a model's answer may be shown or inserted.

Decides that what steers a terminal, turns the direction of text or cannot be seen is dropped (Trojan Source,
CVE-2021-42574), but not what the user's own file holds. Refuses to know markdown and code.
"""

from __future__ import annotations

import re
import unicodedata

_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters and a symbol that draw nothing
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x85]")
_SUSPECT = re.compile(r"[^\n\t -~]")


def cleaned(text: str, familiar: str = "") -> str:
    """``text`` with line feeds as its only line ends and without characters that hide; those of ``familiar`` stay."""
    kept: list[str] = []
    text = _LINE_ENDS.sub("\n", text)
    place = 0
    for match in _SUSPECT.finditer(text):
        kept.append(text[place : match.start()])
        place = match.end()
        following = text[place : place + 1]
        if match[0] in familiar or _is_shown(match[0], kept, following):
            kept.append(match[0])
    return "".join([*kept, text[place:]])


def _is_shown(character: str, before: list[str], following: str) -> bool:
    if character == _JOINER:
        last = "".join(before[-5:]).rstrip(_EMOJI_STYLE)[-1:]
        return _is_pictorial(last) and _is_pictorial(following)
    if character == _EMOJI_STYLE:
        return bool("".join(before[-3:])[-1:].strip())
    is_selector = "\ufe00" <= character <= "\ufe0e" or "\U000e0100" <= character <= "\U000e01ef"
    is_hidden = is_selector or character in _BLANK_LETTERS
    return not is_hidden and unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn")


def _is_pictorial(character: str) -> bool:
    """An emoji or a skin tone: the only company in which a joiner joins something one sees."""
    return character != "" and unicodedata.category(character) in ("So", "Sk")
