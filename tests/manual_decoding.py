"""Logits and greedy tokens computed by plain forward passes, to compare with the answers to requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.generation.request_generation import completion
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache
from starcoder_ls.engine.loading.load_model import Loaded
from starcoder_ls.engine.runner import model_forward
from starcoder_ls.generation import Request


def compute_logits(
    loaded: Loaded, ids: Sequence[int], adapter: str | None = None, chunk_tokens: int | None = None
) -> torch.Tensor:
    """The logits after each of ``ids``, through ``adapter``: [time, vocabulary], on the CPU.

    Each forward pass reads ``chunk_tokens`` tokens; without it, one pass reads all.
    """
    resident, step = loaded.adapters.named(adapter), chunk_tokens or len(ids)
    loaded.adapters.activate(resident)
    try:
        cache = _cache(loaded, resident, len(ids))
        chunks = [list(ids[start : start + step]) for start in range(0, len(ids), step)]
        return torch.cat([model_forward.forward_all(loaded.model, chunk, cache) for chunk in chunks]).cpu()
    finally:
        loaded.adapters.activate(None)


def request_and_greedy_tokens(loaded: Loaded, text: str, adapter: str | None) -> tuple[list[int], list[int]]:
    """Token ids of the answer to a request for six tokens, and as many that plain forward passes choose greedily."""
    resident = loaded.adapters.named(adapter)
    steps = completion(Request((text,), 6), loaded, PrefixCache(loaded.layers), lambda: None, held=resident)
    answered = [id_ for chunks in steps for chunk in chunks for id_ in chunk.token_ids]
    ids = loaded.tokenizer.encode([text])
    loaded.adapters.activate(resident)
    try:
        cache, greedy = _cache(loaded, resident, len(ids) + len(answered)), list[int]()
        while len(greedy) < len(answered):
            greedy.append(int(model_forward.forward(loaded.model, [greedy[-1:] or ids], cache).argmax()))
    finally:
        loaded.adapters.activate(None)
    return answered, greedy


def chunk_ranges(ids: Sequence[int], sizes: Sequence[int], rewind: int, cache: KvCache) -> Iterator[tuple[int, int]]:
    """Start and end of consecutive chunks of ``ids`` with ``sizes``; after the second, ``cache`` is truncated by
    ``rewind`` tokens, which the next chunks read again."""
    start = 0
    for number, size in enumerate(sizes):
        end = min(start + size, len(ids))
        if end == start:
            return
        yield start, end
        start = end
        if number == 1:
            start = max(0, end - rewind)
            cache.truncate(start)


def _cache(loaded: Loaded, resident: ResidentAdapter | None, tokens: int) -> KvCache:
    cache = KvCache(loaded.layers, tokens + (0 if resident is None else resident.virtual_tokens))
    if resident is not None and resident.prompt is not None:
        resident.prompt.write(loaded.model, cache)
    return cache
