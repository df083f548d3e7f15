"""Keyed hashes of paths: rows of the same file can be recognised, and without the key no path can be guessed.

The key is a file of this user beside the feedback store.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from starcoder_ls.atomic_files import write_atomically

_KEY_BYTES = 32


def key_file(database_file: Path) -> Path:
    """The file of the key that belongs to the feedback store ``database_file``."""
    return database_file.with_name("feedback.key")


def read_key(path: Path) -> bytes | None:
    """The key; None if there is no usable one. Raises OSError."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == _KEY_BYTES else None


def read_or_create_key(path: Path) -> bytes:
    """The key; a missing or damaged one is replaced by a new one, with mode 600. Raises OSError."""
    key = read_key(path)
    if key is not None:
        return key
    write_atomically(path, secrets.token_bytes(_KEY_BYTES), mode=0o600)
    return path.read_bytes()  # that of another process, if both wrote one


def hash_path(path: str, key: bytes) -> str:
    """HMAC-SHA256 of the absolute ``path`` in hexadecimal digits."""
    return hmac.new(key, os.fsencode(os.path.abspath(path)), hashlib.sha256).hexdigest()
