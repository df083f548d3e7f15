"""The two things a model does: read tokens into the cache, and say what comes after the last of them.

Decides how much is read at once. Refuses to know requests, sampling and when to stop.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from starcoder_ls.engine.kv import KvCache

# A keystroke waits for the chunk that runs. Below 32 rows reading the weights costs more than the arithmetic.
CHUNK_MS = 40.0
CHUNK_TOKENS = (512, 256, 128, 64, 32)


def read(model: Any, rows: list[list[int]], cache: KvCache) -> torch.Tensor:
    """Read ``rows``, each as many new tokens as the others, behind what ``cache`` holds.

    Answers the hidden state of the last token of each row: [rows, width].
    """
    device = model.get_input_embeddings().weight.device
    if device.type == "meta":  # the embedding is offloaded, and accelerate's hooks move what they are given
        device = torch.device("cpu")
    with torch.inference_mode():
        ids = torch.tensor(rows, device=device)  # [rows, time]
        if (lean := model.__dict__.get("lean")) is not None:
            normed: torch.Tensor = lean.norm(lean(ids, cache)[:, -1])
            return normed
        hidden = model.base_model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
        # A copy: over a slice of three dimensions F.linear takes a path that copies the whole output layer, which
        # took 1.3 of the 1.8 s that 32 tokens of a 1B model took. For the same reason no `logits_to_keep`.
        last: torch.Tensor = hidden[:, -1].contiguous()
        return last


def logits_after(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What comes next, in float32 or wider: [rows, width] -> [rows, vocabulary]."""
    with torch.inference_mode():
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
        return logits if logits.dtype == torch.float64 else logits.float()


def forward(model: Any, rows: list[list[int]], cache: KvCache) -> torch.Tensor:
    """Read ``rows`` and say what comes next: [rows, vocabulary]."""
    return logits_after(model, read(model, rows, cache))


def warm_up(model: Any, layers: int, context_tokens: int) -> int:
    """Run the model on nothing in particular; the answer is the longest chunk that is read within CHUNK_MS.

    Decided once and in powers of two: sizes that followed the load of the machine would change the last bits of the
    logits from one request to the next.
    """
    probe = min(64, context_tokens - 1)
    elapsed_ms = 0.0
    for _ in range(2):  # the first allocates, picks kernels and pages the weights in
        cache = KvCache(layers, context_tokens if context_tokens < 2 * probe else 2 * probe)
        started = time.perf_counter()
        float(forward(model, [[0] * probe], cache)[0, 0])  # reading a value waits for the device
        elapsed_ms = (time.perf_counter() - started) * 1000
        forward(model, [[0]], cache)
    fits = [tokens for tokens in CHUNK_TOKENS if elapsed_ms * tokens / probe <= CHUNK_MS]
    return fits[0] if fits else CHUNK_TOKENS[-1]
