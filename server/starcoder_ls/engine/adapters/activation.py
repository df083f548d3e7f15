"""One request among others on a model whose layers change hands between any two pieces of work.

Decides that a piece is made through the request's own adapter, in a cache of its own. Refuses to know what a piece is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, ResidentAdapters
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache, PrefixSlot

Piece = TypeVar("Piece")
Sent = TypeVar("Sent")


def in_turn(
    held: ResidentAdapter | None, adapters: ResidentAdapters, pieces: Generator[Piece, Sent | None, None]
) -> Generator[Piece, Sent | None, None]:
    """``pieces``, with the model going through ``held`` while each is made: between two of them others have a turn."""
    sent: Sent | None = None
    try:
        while True:
            adapters.activate(held)
            try:
                piece = pieces.send(sent) if sent is not None else next(pieces)
            except StopIteration:
                return
            sent = yield piece
    finally:
        pieces.close()


@contextmanager
def leased(
    slots: PrefixCache,
    prompt: Sequence[int],
    new_tokens: int,
    model: Any,
    held: ResidentAdapter | None,
    is_prefetch: bool = False,
) -> Iterator[PrefixSlot]:
    """A slot that only this adapter writes to, its virtual tokens in it."""
    owner, virtual_tokens = (None, 0) if held is None else (held.key, held.virtual_tokens)
    with slots.acquire(prompt, len(prompt) + new_tokens, owner, virtual_tokens, is_prefetch) as slot:
        if held is not None and held.prompt is not None and slot.cache.length < virtual_tokens:
            held.prompt.write(model, slot.cache)
        yield slot
