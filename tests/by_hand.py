"""What a loaded model says to tokens that are read by hand, with nothing of a request around it."""

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


def logits(loaded: Loaded, ids: Sequence[int], name: str | None = None, at_once: int | None = None) -> torch.Tensor:
    """[time, vocabulary] through the adapter, read ``at_once`` tokens at a time, or all."""
    held, step = loaded.adapters.named(name), at_once or len(ids)
    loaded.adapters.activate(held)
    try:
        cache = _cache(loaded, held, len(ids))
        parts = [list(ids[start : start + step]) for start in range(0, len(ids), step)]
        return torch.cat([model_forward.forward_all(loaded.model, part, cache) for part in parts]).cpu()
    finally:
        loaded.adapters.activate(None)


def answers(loaded: Loaded, text: str, name: str | None) -> tuple[list[int], list[int]]:
    """The tokens of a request for six through the adapter, and as many that are chosen by hand."""
    held = loaded.adapters.named(name)
    pieces = completion(Request((text,), 6), loaded, PrefixCache(loaded.layers), lambda: None, held=held)
    said = [id_ for chunks in pieces for chunk in chunks for id_ in chunk.token_ids]
    ids = loaded.tokenizer.encode([text])
    loaded.adapters.activate(held)
    try:
        cache, chosen = _cache(loaded, held, len(ids) + len(said)), list[int]()
        while len(chosen) < len(said):
            chosen.append(int(model_forward.forward(loaded.model, [chosen[-1:] or ids], cache).argmax()))
    finally:
        loaded.adapters.activate(None)
    return said, chosen


def chunks(ids: Sequence[int], cuts: Sequence[int], rewind: int, cache: KvCache) -> Iterator[tuple[int, int]]:
    """Where to read next, from and to before, behind what ``cache`` holds; after the second, ``rewind`` ids are read
    anew."""
    start = 0
    for number, size in enumerate(cuts):
        end = min(start + size, len(ids))
        if end == start:
            return
        yield start, end
        start = end
        if number == 1:
            start = max(0, end - rewind)
            cache.truncate(start)


def _cache(loaded: Loaded, held: ResidentAdapter | None, tokens: int) -> KvCache:
    cache = KvCache(loaded.layers, tokens + (0 if held is None else held.virtual_tokens))
    if held is not None and held.prompt is not None:
        held.prompt.write(loaded.model, cache)
    return cache
