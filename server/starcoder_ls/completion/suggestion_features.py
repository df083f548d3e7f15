"""What is known about a suggestion when it could be shown: numbers and classes of characters, no text."""

from __future__ import annotations

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion

Features = dict[str, float | str]

_CLOSERS, _OPENERS, _QUOTES, _SEPARATORS = ")]}>", "([{<", "\"'`", ",;:."


def describe_suggestion(cursor: Cursor, suggestion: Suggestion, is_invoked: bool) -> Features:
    """The features of ``suggestion`` at ``cursor``. ``is_invoked``: the user asked for suggestions explicitly."""
    text, offset = cursor.text, cursor.offset
    line_start = text.rfind("\n", 0, offset) + 1
    line_end = text.find("\n", offset)
    before = text[line_start:offset]
    after = text[offset : len(text) if line_end < 0 else line_end].strip()
    return {
        "confidence": round(suggestion.confidence, 4),
        "chars": len(suggestion.text),
        "lines": suggestion.text.count("\n") + 1,
        "tokens": suggestion.new_tokens,
        "typed_chars": suggestion.typed_chars,
        "column": offset - line_start,
        "is_line_blank": float(not before.strip()),
        "position": round(offset / max(len(text), 1), 3),
        "language": cursor.language,
        "source": str(suggestion.source),
        "before": character_class(before[-1:]),
        "after": character_class(after[:1]),
        "first": character_class(suggestion.text[:1]),
        "last": character_class(suggestion.text[-1:]),
        "is_invoked": float(is_invoked),
    }


def character_class(character: str) -> str:
    """The class of ``character``; "none" for the empty string, at the end of a line."""
    if not character:
        return "none"
    if character.isspace():
        return "blank"
    if character.isalnum() or character == "_":
        return "word"
    for name, characters in _CLASSES.items():
        if character in characters:
            return name
    return "operator"


_CLASSES = {"closer": _CLOSERS, "opener": _OPENERS, "quote": _QUOTES, "separator": _SEPARATORS}
