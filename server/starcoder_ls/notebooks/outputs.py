"""The text that a cell has written, from its outputs in the form of the notebook file format (nbformat 4).

Decides what of an output is text: streams, the plain form of results, and the message of an exception. Images, HTML and
tracebacks are left out. A model reads at most MAX_OUTPUT_CHARS of it, as in its training (``notebook_format``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MAX_OUTPUT_CHARS = 1000
CUT_MARK = "[...]"

_MAX_OUTPUTS = 64
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def output_text(outputs: object) -> str:
    """The text of ``outputs``, parsed JSON; shortened to ``MAX_OUTPUT_CHARS`` and ``CUT_MARK``. Empty if there is none.

    What is not in the form of the file format is left out.
    """
    text = ""
    for part in _texts(outputs):
        text += part if not text or text.endswith("\n") else f"\n{part}"
        if len(text) > 2 * MAX_OUTPUT_CHARS:
            break
    return shorten_output(_ESCAPE_SEQUENCE.sub("", text).strip())


def shorten_output(text: str) -> str:
    """``text`` of at most MAX_OUTPUT_CHARS; a longer one ends with CUT_MARK."""
    return text if len(text) <= MAX_OUTPUT_CHARS else text[:MAX_OUTPUT_CHARS] + CUT_MARK


def join_lines(value: object, max_chars: int) -> str:
    """At most ``max_chars`` of a text of the file format, a string or a list of strings; empty for any other value."""
    if isinstance(value, str):
        return value[:max_chars]
    if not isinstance(value, list):
        return ""
    parts: list[str] = []
    chars = 0
    for line in value:
        if isinstance(line, str):
            parts.append(line)
            chars += len(line)
        if chars >= max_chars:
            break
    return "".join(parts)[:max_chars]


def _texts(outputs: object) -> Iterator[str]:
    for output in outputs[:_MAX_OUTPUTS] if isinstance(outputs, list) else ():
        if not isinstance(output, Mapping):
            continue
        data = output.get("data")
        text = join_lines(output.get("text"), 2 * MAX_OUTPUT_CHARS)
        if not text and isinstance(data, Mapping):
            text = join_lines(data.get("text/plain"), 2 * MAX_OUTPUT_CHARS)
        if not text and isinstance(name := output.get("ename"), str):
            text = f"{name}: {join_lines(output.get('evalue'), MAX_OUTPUT_CHARS)}"
        if text:
            yield text
