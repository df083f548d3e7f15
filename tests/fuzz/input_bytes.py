"""Turns the bytes of a fuzzer into the values that a harness needs, so that small changes of the bytes are small
changes of the values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

SEPARATOR = b"\x1e"
"""Between the fields of an input. The fields are readable text, and a fuzzer can exchange them."""


def join_fields(*fields: str | bytes) -> bytes:
    """An input with ``fields``, for seeds."""
    raw = (field.encode("utf-8", "surrogatepass") if isinstance(field, str) else field for field in fields)
    return SEPARATOR.join(raw)


def split_fields(data: bytes, count: int) -> list[bytes]:
    """Exactly ``count`` fields; missing ones are empty, the last has the rest."""
    fields = data.split(SEPARATOR, count - 1)
    return fields + [b""] * (count - len(fields))


def decode_text(data: bytes) -> str:
    """``data`` as text. Bytes that are not UTF-8 are lone surrogates, which JSON can carry."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


class InputReader:
    """Reads numbers and choices from the front of an input; zeros after its end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    @property
    def is_at_end(self) -> bool:
        return self._position >= len(self._data)

    def integer(self, limit: int) -> int:
        """A number below ``limit``, which is at most 256, from one byte."""
        byte = 0 if self.is_at_end else self._data[self._position]
        self._position += 1
        return byte % limit

    def choice(self, items: Sequence[Item]) -> Item:
        return items[self.integer(len(items))]
