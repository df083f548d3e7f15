"""What daemons have told the editor of one window that the next daemon would tell again, or can no longer end.

Messages to the user and registrations are recognised by their hashes. Each kind is bounded: what is forgotten may be
repeated once.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

MAX_NOTICES = 256
"""Of each kind. A daemon shows a handful of messages and registers one capability."""

MAX_TOKEN_CHARS = 200
"""A daemon's own tokens of progress have 30."""


class SentNotices:
    """Not thread-safe: the owner holds a lock."""

    def __init__(self) -> None:
        self._messages: dict[bytes, None] = {}  # oldest first
        self._registrations: dict[bytes, None] = {}
        self._progress_tokens: dict[str, Any] = {}

    def is_repeated_message(self, body: bytes) -> bool:
        """Whether a message with this body was recorded before. Records it."""
        return _is_known(self._messages, body)

    def is_repeated_registration(self, params: dict[str, Any]) -> bool:
        """Whether a registration with these params was recorded before. Records it."""
        return _is_known(self._registrations, json.dumps(params, sort_keys=True).encode())

    def record_progress(self, params: dict[str, Any]) -> None:
        """Record the beginning or the end of progress."""
        value, token = params.get("value"), params.get("token")
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind not in ("begin", "end") or not isinstance(token, (int, str)) or len(str(token)) > MAX_TOKEN_CHARS:
            return
        key = json.dumps(token)
        if kind == "end":
            self._progress_tokens.pop(key, None)
        else:
            self._progress_tokens[key] = token
            _limit(self._progress_tokens)

    def take_open_progress(self) -> list[Any]:
        """The tokens of progress that has begun and not ended; they are forgotten."""
        tokens = list(self._progress_tokens.values())
        self._progress_tokens.clear()
        return tokens


def _is_known(digests: dict[bytes, None], body: bytes) -> bool:
    digest = hashlib.blake2b(body, digest_size=16).digest()
    is_known = digest in digests
    digests[digest] = None
    _limit(digests)
    return is_known


def _limit(entries: dict[Any, Any]) -> None:
    """Drop the oldest entry if there are too many."""
    if len(entries) > MAX_NOTICES:
        del entries[next(iter(entries))]
