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


def forward(model: Any, rows: list[list[int]], cache: KvCache) -> torch.Tensor:
    """Read ``rows``, each as many new tokens as the others, behind what ``cache`` holds.

    Answers the logits after the last token of each row, in float32 or wider: [rows, vocabulary].
    """
    device = model.get_input_embeddings().weight.device
    if device.type == "meta":  # the embedding is offloaded, and accelerate's hooks move what they are given
        device = torch.device("cpu")
    with torch.inference_mode():
        ids = torch.tensor(rows, device=device)  # [rows, time]
        answer = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = answer.logits[:, -1]
        return logits if logits.dtype == torch.float64 else logits.float()


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
