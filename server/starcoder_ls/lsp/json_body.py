"""Parses the body of a message, and refuses one whose values would take much more memory than its text.

22 million empty objects are 66 MB of text and 3.8 GB of Python objects. Values are counted before anything is parsed.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any, NoReturn

MAX_TOKENS = 1_000_000
"""Strings, commas and opening brackets: at most 100 MB of objects. 100,000 changed files in one message are 600,000."""

_HEAD_BYTES = 1_000
_BLANKS = " \t\r\n"
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{\[,]', re.DOTALL)
_ID = re.compile(rb'"id"\s*:\s*(-?\d{1,18}|"[^"\\]{0,100}")\s*[,}]')
_METHOD = re.compile(rb'"method"\s*:\s*"([^"\\]{1,100})"')


class TooManyValues(ValueError):
    """``head`` has the id and the method of the message as far as they precede its params."""

    def __init__(self, head: dict[str, Any]) -> None:
        super().__init__("The message has too many values and was not processed.")
        self.head = head


def parse_body(body: bytes) -> Any:
    """The JSON value of ``body``. Raises TooManyValues, and ValueError if it is not JSON in UTF-8."""
    if len(body) > MAX_TOKENS and _count_tokens(body) > MAX_TOKENS:
        raise TooManyValues(_read_head(body))
    text = body.decode("utf-8").strip(_BLANKS)
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value


def _count_tokens(body: bytes) -> int:
    """Counts at most one more than MAX_TOKENS. What is inside strings is no token: a document may be long."""
    if sum(map(body.count, (b"{", b"[", b",", b'"'))) <= MAX_TOKENS:
        return 0
    return sum(1 for _ in islice(_TOKEN.finditer(body), MAX_TOKENS + 1))


def _read_head(body: bytes) -> dict[str, Any]:
    head = body[:_HEAD_BYTES].partition(b'"params"')[0]
    found: dict[str, Any] = {}
    if request_id := _ID.search(head):
        found["id"] = json.loads(request_id[1].decode("utf-8", "replace"))
    if method := _METHOD.search(head):
        found["method"] = method[1].decode("utf-8", "replace")
    return found


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
