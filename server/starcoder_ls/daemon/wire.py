"""Values of ``generation`` as JSON and back, for the RPC between an engine client and the daemon.

Stop rule and cancel flag are not serialized: the client evaluates the former, closing the connection sets the latter.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from starcoder_ls import errors
from starcoder_ls.generation import (
    AdapterStatus,
    Capabilities,
    ChatFormat,
    Chunk,
    FinishReason,
    Phase,
    Priority,
    Request,
    Sampling,
    SpecialToken,
    Status,
    Timings,
)

_PLAIN_FIELDS = (
    "max_new_tokens", "prefix_parts", "forced_prefix", "candidates", "lookup_text", "prediction", "adapter", "document",
    "client",
)  # fmt: skip


def encode_request(request: Request) -> dict[str, Any]:
    """All fields but ``stop`` and ``cancel``. The deadline becomes the remaining time in seconds."""
    remaining_s = None if request.deadline_s is None else request.deadline_s - time.monotonic()
    return {name: getattr(request, name) for name in _PLAIN_FIELDS} | {
        "parts": [[part.literal] if isinstance(part, SpecialToken) else part for part in request.parts],
        "end_tokens": [token.literal for token in request.end_tokens],
        "sampling": dataclasses.asdict(request.sampling),
        "priority": int(request.priority),
        "remaining_s": remaining_s,
    }


def decode_request(encoded: dict[str, Any]) -> Request:
    """Raises KeyError, TypeError or ValueError for anything but the result of ``encode_request``."""
    plain: dict[str, Any] = {
        name: tuple(encoded[name]) if isinstance(encoded[name], list) else encoded[name] for name in _PLAIN_FIELDS
    }
    remaining_s = encoded["remaining_s"]
    return Request(
        parts=tuple(part if isinstance(part, str) else SpecialToken(part[0]) for part in encoded["parts"]),
        end_tokens=tuple(map(SpecialToken, encoded["end_tokens"])),
        sampling=Sampling(**encoded["sampling"]),
        priority=Priority(encoded["priority"]),
        deadline_s=None if remaining_s is None else time.monotonic() + remaining_s,
        **plain,
    )


def encode_chunk(chunk: Chunk) -> dict[str, Any]:
    return dataclasses.asdict(chunk)


def decode_chunk(encoded: dict[str, Any]) -> Chunk:
    finish_reason, timings = encoded["finish_reason"], encoded["timings"]
    return Chunk(
        **{
            **encoded,
            "token_ids": tuple(encoded["token_ids"]),
            "finish_reason": None if finish_reason is None else FinishReason(finish_reason),
            "timings": None if timings is None else Timings(**timings),
        }
    )


def encode_status(status: Status) -> dict[str, Any]:
    return {**dataclasses.asdict(status), "special_tokens": sorted(status.special_tokens)}


def decode_status(encoded: dict[str, Any]) -> Status:
    adapters = tuple(AdapterStatus(**adapter) for adapter in encoded["adapters"])
    chat = encoded["chat"]
    decoded = {
        "phase": Phase(encoded["phase"]),
        "special_tokens": frozenset(encoded["special_tokens"]),
        "adapters": adapters,
        "missing_adapters": tuple(encoded["missing_adapters"]),
        "chat": None if chat is None else ChatFormat(**{**chat, "end_tokens": tuple(chat["end_tokens"])}),
        "capabilities": Capabilities(**encoded["capabilities"]),
    }
    return Status(**{**encoded, **decoded})


def encode_error(error: errors.StarcoderError) -> list[str]:
    return [type(error).__name__, str(error)]


def decode_error(encoded: list[str]) -> errors.StarcoderError:
    """An error of the same class, or EngineError if this package has no such class."""
    name, message = encoded
    error_type = getattr(errors, name, None)
    if isinstance(error_type, type) and issubclass(error_type, errors.StarcoderError):
        return error_type(message)
    return errors.EngineError(message)
