"""JSON messages of a window process: each is parsed once and forwarded as the bytes that arrived."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starcoder_ls.lsp.framing import frame
from starcoder_ls.lsp.json_body import TooManyValues, parse_body


class Message:
    """A message body and its parsed fields, which are empty if the body is not a JSON object.

    A window creates one for each message in both directions, so it is a plain class with few attributes.
    """

    __slots__ = ("body", "fields", "id", "method")

    def __init__(self, body: bytes, fields: Mapping[str, Any]) -> None:
        self.body, self.fields = body, fields
        method = fields.get("method")
        self.method: str | None = method if isinstance(method, str) else None
        self.id: Any = fields.get("id")

    @property
    def params(self) -> dict[str, Any]:
        """Empty unless they are a JSON object."""
        params = self.fields.get("params")
        return params if isinstance(params, dict) else {}

    @property
    def id_key(self) -> str | None:
        """The id as a dictionary key, in which 1 and "1" differ; None if there is no valid id."""
        return id_key(self.id)


def parse(body: bytes) -> Message:
    """The message in ``body``. Of one with too many values only id and method are known."""
    try:
        value = parse_body(body)
    except TooManyValues as error:
        value = error.head
    except ValueError:
        value = None
    return Message(body, value if isinstance(value, dict) else {})


def id_key(request_id: object) -> str | None:
    """``request_id`` as JSON; None if it is not a valid id."""
    if type(request_id) is int:
        return str(request_id)
    return json.dumps(request_id) if isinstance(request_id, str) else None


def encode(**fields: Any) -> bytes:
    """The body of a JSON-RPC message."""
    return json.dumps({"jsonrpc": "2.0", **fields}, separators=(",", ":")).encode()


def encode_frame(fields: Mapping[str, Any]) -> bytes:
    """A framed JSON object, as windows, commands and the daemon exchange before or instead of a session."""
    return frame(json.dumps(fields).encode())
