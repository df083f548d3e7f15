"""Counts the tokens of an answer while its bytes pass through: generated ones, and reused ones of the prompt."""

from __future__ import annotations

import json
from typing import Any

_MAX_LINE_BYTES = 1 << 20


class AnswerTokens:
    """``feed`` it the bytes of a streamed answer in any division. What is no event of vLLM's format is not counted."""

    def __init__(self) -> None:
        self.generated = 0
        self.reused = 0
        self._line = b""

    def feed(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _MAX_LINE_BYTES:
            self._line = b""
        for line in lines:
            if line.startswith(b"data: {"):
                self._count(line[6:])

    def _count(self, data: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(data)
            self.generated += sum(len(choice.get("token_ids") or ()) for choice in event.get("choices") or ())
            details = (event.get("usage") or {}).get("prompt_tokens_details") or {}
            self.reused = max(self.reused, int(details.get("cached_tokens") or 0))
        except (ValueError, TypeError, AttributeError):
            return
