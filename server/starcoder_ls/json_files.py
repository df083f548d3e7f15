"""Reads JSON files of checkpoints and adapters, with limits on bytes and nesting. It does not import torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from starcoder_ls.errors import ModelInvalid
from starcoder_ls.printable import escape_control_characters

MAX_CONFIG_BYTES = 1 << 20
"""Of config.json and adapter_config.json; published ones have at most a few KB."""

MAX_CONFIG_DEPTH = 16


def read_json(file: Path, max_bytes: int, sha256: str = "") -> object:
    """The value in a JSON file of a checkpoint. ``sha256``, if not empty, is the checksum that the file must have.

    Raises ModelInvalid if it cannot be read, exceeds ``max_bytes`` or has another checksum.
    """
    try:
        size = file.stat().st_size
        if size > max_bytes:
            raise ModelInvalid(f"{file} has {size:,} bytes, and {max_bytes:,} are the limit. Download it again.")
        content = file.read_bytes()
        found = hashlib.sha256(content).hexdigest() if sha256 else ""
        if found != sha256.lower():
            raise ModelInvalid(
                f"{file} has the SHA-256 {found}, not {printable(sha256)}. Use the file of that checksum."
            )
        return json.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"{error!s:.200}"
        raise ModelInvalid(f"{file} is not readable JSON ({reason}). Download the checkpoint again.") from error


def read_json_object(file: Path, max_bytes: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint.

    Raises ModelInvalid if it cannot be read, is larger than ``max_bytes``, is nested too deeply or is not an object.
    """
    value = read_json(file, max_bytes)
    if not isinstance(value, dict):
        raise ModelInvalid(f"{file} does not contain a JSON object. Download the checkpoint again.")
    if is_nested_deeper(value, MAX_CONFIG_DEPTH):
        raise ModelInvalid(
            f"{file} is nested more than {MAX_CONFIG_DEPTH} levels deep, as no configuration is. "
            "Download the checkpoint again."
        )
    return value


def is_nested_deeper(value: object, max_depth: int) -> bool:
    """Whether lists and objects are nested more than ``max_depth`` deep; in linear time, without recursion."""
    level = [value]
    for _ in range(max_depth):
        children: list[object] = []
        for item in level:
            if isinstance(item, dict):
                children.extend(item.values())
            elif isinstance(item, list):
                children.extend(item)
        if not children:
            return False
        level = children
    return any(isinstance(item, dict | list) for item in level)


def printable(text: object, max_chars: int = 60) -> str:
    """``text`` for a message: shortened, with control and other invisible characters as escape sequences."""
    shown = str(text)
    shown = shown if len(shown) <= max_chars else f"{shown[:max_chars]}…"
    return escape_control_characters(shown)
