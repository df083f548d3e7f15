"""Turns the bytes of a fuzzer into the values that a harness needs, so that small changes of the bytes are small
changes of the values."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")

SEPARATOR = b"\x1e"
"""Between the fields of an input. The fields are readable text, and a fuzzer can exchange them."""

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 4, 8, 4096, 1 << 31, 1 << 48, 1 << 64, 10**4000, 0.5, 1e308, float("nan"),
    float("inf"), "", "x", "a.b", "\x1b[31m\n", "\ud800", "9" * 300, [], [0], [1, 2], ["x", 1], [[[[]]]], [None], {},
    {"a": 1}, {"a": {"b": [{}]}}, [2**70], [-1, 0],
)  # fmt: skip
"""JSON values that are wrong in most positions."""


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

    def edit(self, base: Mapping[str, Any], keys: Sequence[str], values: Sequence[Any] = ODD_VALUES) -> dict[str, Any]:
        """``base`` with up to three keys set to other values, or removed."""
        edited: dict[str, Any] = copy.deepcopy(dict(base))
        for _ in range(self.integer(4)):
            key, number = self.choice(keys), self.integer(len(values) + 1)
            if number < len(values):
                edited[key] = values[number]
            else:
                edited.pop(key, None)
        return edited
