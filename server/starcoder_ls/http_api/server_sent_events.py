"""Server-sent events with JSON, as both APIs stream their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DONE = "[DONE]"
"""The last event of OpenAI's API."""


def encode_event(data: Mapping[str, Any] | str) -> bytes:
    """One event; a string is sent as it is."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}\n\n".encode()
