"""The seam's values as JSON and back, so that an engine can be asked from another process.

Decides nothing else: a stop rule is code and stays with whoever asks.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from starcoder_ls import errors
from starcoder_ls.generation import (
    AdapterStatus,
    Chunk,
    Finish,
    Phase,
    Priority,
    Request,
    Sampling,
    Special,
    Status,
    Timings,
)

_AS_THEY_ARE = (
    "max_new_tokens",
    "prefix_parts",
    "forced_prefix",
    "candidates",
    "lookup_text",
    "adapter",
    "document",
    "client",
)


def request_as_json(request: Request) -> dict[str, Any]:
    """All but the stop rule and the cancel flag. A deadline is what is left of it."""
    said = {name: getattr(request, name) for name in _AS_THEY_ARE}
    left_s = None if request.deadline_s is None else request.deadline_s - time.monotonic()
    return said | {
        "parts": [[part.literal] if isinstance(part, Special) else part for part in request.parts],
        "end_tokens": [token.literal for token in request.end_tokens],
        "sampling": dataclasses.asdict(request.sampling),
        "priority": int(request.priority),
        "left_s": left_s,
    }


def request_of(said: dict[str, Any]) -> Request:
    given: dict[str, Any] = {
        name: tuple(said[name]) if isinstance(said[name], list) else said[name] for name in _AS_THEY_ARE
    }
    return Request(
        parts=tuple(part if isinstance(part, str) else Special(part[0]) for part in said["parts"]),
        end_tokens=tuple(map(Special, said["end_tokens"])),
        sampling=Sampling(**said["sampling"]),
        priority=Priority(said["priority"]),
        deadline_s=None if said["left_s"] is None else time.monotonic() + said["left_s"],
        **given,
    )


def chunk_of(said: dict[str, Any]) -> Chunk:
    finish = None if said["finish"] is None else Finish(said["finish"])
    timings = None if said["timings"] is None else Timings(**said["timings"])
    return Chunk(**{**said, "token_ids": tuple(said["token_ids"]), "finish": finish, "timings": timings})


def status_as_json(status: Status) -> dict[str, Any]:
    return {**dataclasses.asdict(status), "special_tokens": sorted(status.special_tokens)}


def status_of(said: dict[str, Any]) -> Status:
    adapters = tuple(AdapterStatus(**adapter) for adapter in said["adapters"])
    special_tokens = frozenset(said["special_tokens"])
    return Status(**{**said, "phase": Phase(said["phase"]), "special_tokens": special_tokens, "adapters": adapters})


def error_as_json(error: errors.StarcoderError) -> list[str]:
    return [type(error).__name__, str(error)]


def error_of(said: list[str]) -> errors.StarcoderError:
    kind = getattr(errors, said[0], None)
    is_ours = isinstance(kind, type) and issubclass(kind, errors.StarcoderError)
    return kind(said[1]) if is_ours and kind is not None else errors.EngineError(said[1])
