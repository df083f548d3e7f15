"""The name under which a document is known to a server: a keyed hash, never a path.

A gateway sends requests of one name to one replica, whose prefix cache has the document then. The key is random and
lives as long as the process, so that a name says nothing about the document and cannot be followed over days.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

HEADER = "x-session-id"
_KEY_BYTES, _NAME_CHARS = 32, 32


class SessionIds:
    """Names for pairs of client and document. Every method may be called from any thread."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(_KEY_BYTES)

    def name(self, client: str, document: str) -> str:
        """32 hexadecimal digits of HMAC-SHA256; the same for the same pair as long as the process lives."""
        pair = f"{len(client)}:{client}{document}"
        return hmac.new(self._key, pair.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:_NAME_CHARS]
