"""JSON messages of a window process: each is parsed once and forwarded as the bytes that arrived."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starcoder_ls.lsp.framing import frame


@dataclass(frozen=True, slots=True)
class Message:
    """A message body and its parsed fields. ``fields`` is empty if the body is not a JSON object."""

    body: bytes
    fields: Mapping[str, Any]

    @property
    def method(self) -> str | None:
        method = self.fields.get("method")
        return method if isinstance(method, str) else None

    @property
    def params(self) -> dict[str, Any]:
        """Empty unless they are a JSON object."""
        params = self.fields.get("params")
        return params if isinstance(params, dict) else {}

    @property
    def id(self) -> Any:
        return self.fields.get("id")

    @property
    def id_key(self) -> str | None:
        """The id as a dictionary key, in which 1 and "1" differ; None if there is no valid id."""
        return id_key(self.id)


def parse(body: bytes) -> Message:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    return Message(body, value if isinstance(value, dict) else {})


def id_key(request_id: object) -> str | None:
    is_valid = isinstance(request_id, int | str) and not isinstance(request_id, bool)
    return json.dumps(request_id) if is_valid else None


def encode(**fields: Any) -> bytes:
    """The body of a JSON-RPC message."""
    return json.dumps({"jsonrpc": "2.0", **fields}, separators=(",", ":")).encode()


def encode_frame(fields: Mapping[str, Any]) -> bytes:
    """A framed JSON object, as windows, commands and the daemon exchange before or instead of a session."""
    return frame(json.dumps(fields).encode())
