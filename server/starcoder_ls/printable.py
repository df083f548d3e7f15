"""What logs and standard error show of text that others wrote: printable characters, everything else escaped.

Names of clients, keys of files and messages of libraries can contain line feeds and terminal escapes.
"""

from __future__ import annotations


def escape_control_characters(text: str, keep: str = "") -> str:
    """``text`` with control, format, separator and surrogate characters as Python escapes, except those in ``keep``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escape(char) for char in text)


def quoted_code(code: str) -> str:
    """``code`` of a document or of an answer as it stands in a message."""
    return f"`{escape_control_characters(code)}`"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
