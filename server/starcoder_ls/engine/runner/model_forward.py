"""The two things a model does: read tokens into the cache, and say what comes after the last of them.

Decides how much is read at once. Refuses to know requests, sampling and when to stop.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import padded_batch
from starcoder_ls.engine.runner.threads import threads_for_pass

# A keystroke waits for the chunk that runs. Below 32 rows reading the weights costs more than the arithmetic.
CHUNK_MS = 20.0
CHUNK_TOKENS = (512, 256, 128, 64, 32)

PROBED_TOKENS = (1, 2, 4, 8)
PROBES, PROBING_MS = 12, 300.0


def read(model: Any, rows: list[list[int]], cache: KvCache) -> torch.Tensor:
    """Read ``rows``, each as many new tokens as the others, behind what ``cache`` holds.

    Answers the hidden state of the last token of each row: [rows, width].
    """
    with torch.inference_mode():
        hidden = hidden_states(model, rows, cache)
        # A copy: over a slice of three dimensions F.linear takes a path that copies the whole output layer, which
        # took 1.3 of the 1.8 s that 32 tokens of a 1B model took. For the same reason no `logits_to_keep`.
        return _normed(model, hidden[:, -1].contiguous())


def hidden_states(model: Any, rows: list[list[int]], cache: KvCache) -> torch.Tensor:
    """What the last block says of every new token: [rows, time, width]."""
    device = model.get_input_embeddings().weight.device
    if device.type == "meta":  # the embedding is offloaded, and accelerate's hooks move what they are given
        device = torch.device("cpu")
    ids = torch.tensor(rows, device=device)  # [rows, time]
    if (lean := model.__dict__.get("lean")) is not None:
        hidden: torch.Tensor = lean(ids, cache)
    else:
        hidden = model.base_model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
    return hidden


def can_read_together(model: Any) -> bool:
    """Whether ``read_together`` fits ``model``."""
    return "lean" in model.__dict__ or padded_batch.fits(model)


def read_together(model: Any, several: Sequence[tuple[list[list[int]], KvCache]]) -> list[torch.Tensor]:
    """``hidden_states`` of several, from one pass: [rows, time, width] of each."""
    with torch.inference_mode():
        parts = [(torch.tensor(rows), cache) for rows, cache in several]
        if (lean := model.__dict__.get("lean")) is None:
            return padded_batch.hidden_states(model, parts)
        hidden: list[torch.Tensor] = lean.together(parts)
        return hidden


def logits_of(model: Any, hidden: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What comes after each of the hidden states of a pass: [n, width] -> [n, vocabulary] of each."""
    if not hidden:
        return []
    with torch.inference_mode():
        logits = logits_after(model, _normed(model, torch.cat(list(hidden))))
        return list(torch.split(logits, [len(states) for states in hidden]))


def _normed(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What the output layer reads. A model's own forward has applied the last norm already."""
    lean = model.__dict__.get("lean")
    normed: torch.Tensor = hidden if lean is None else lean.norm(hidden)
    return normed


def logits_after(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """What comes next, in float32 or wider: [rows, width] -> [rows, vocabulary]."""
    with torch.inference_mode():
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
        return logits if logits.dtype == torch.float64 else logits.float()


def forward(model: Any, rows: list[list[int]], cache: KvCache) -> torch.Tensor:
    """Read ``rows`` and say what comes next: [rows, vocabulary]."""
    with threads_for_pass(model, len(rows) * len(rows[0])):
        return logits_after(model, read(model, rows, cache))


def forward_all(model: Any, ids: list[int], cache: KvCache) -> torch.Tensor:
    """Read one row and say what comes after each of its tokens: [time, vocabulary]."""
    with torch.inference_mode(), threads_for_pass(model, len(ids)):
        hidden = hidden_states(model, [ids], cache)
        return logits_after(model, _normed(model, hidden[0].contiguous()))


def warm_up(model: Any, layers: int, context_tokens: int) -> int:
    """Run the model on nothing in particular; the answer is the longest chunk that is read within CHUNK_MS.

    Decided once and in powers of two: sizes that followed the load of the machine would change the last bits of the
    logits from one request to the next.
    """
    probe = min(64, context_tokens - 1)
    elapsed_ms = 0.0
    for _ in range(2):  # the first allocates, picks kernels and pages the weights in
        cache = KvCache(layers, context_tokens if context_tokens < 2 * probe else 2 * probe)
        started_ms = _now_ms(model)
        float(forward(model, [[0] * probe], cache)[0, 0])  # reading a value waits for the device
        elapsed_ms = _now_ms(model) - started_ms
        forward(model, [[0]], cache)
    fits = [tokens for tokens in CHUNK_TOKENS if elapsed_ms * tokens / probe <= CHUNK_MS]
    return fits[0] if fits else CHUNK_TOKENS[-1]


def _now_ms(model: Any) -> float:
    """On a CPU what this thread has worked: the clock also counts what other programs take meanwhile.

    Beside four busy ones 2 tokens seemed to cost twice what 8 do, and a 164M model got chunks of 32 tokens for 128.
    """
    is_cpu = model.get_input_embeddings().weight.device.type == "cpu"
    return (time.thread_time() if is_cpu else time.perf_counter()) * 1000


def pass_costs(model: Any, layers: int, context_tokens: int) -> tuple[float, ...]:
    """Milliseconds of a pass over 1, 2, ... tokens, for ``drafts``; fewer for a slow model, whose load has no time.

    The least of several tries, the sizes taken in turn: what runs beside makes a try longer, never shorter.
    """
    measured: dict[int, float] = {}
    behind = min(64, context_tokens - max(PROBED_TOKENS) - 1)
    if behind < 1:
        return ()
    cache = KvCache(layers, behind + max(PROBED_TOKENS))
    forward(model, [[0] * behind], cache)
    spent_ms = 0.0
    for attempt in range(PROBES):
        for tokens in PROBED_TOKENS:
            cache.truncate(behind)
            started_ms = _now_ms(model)
            float(forward_all(model, [0] * tokens, cache)[-1, 0])
            took_ms = _now_ms(model) - started_ms
            measured[tokens] = min(took_ms, measured.get(tokens, took_ms))
            spent_ms += took_ms
        if spent_ms > PROBING_MS and attempt:
            break
    return filled_in(measured)


def filled_in(measured: Mapping[int, float]) -> tuple[float, ...]:
    """Milliseconds of a pass over 1, 2, ... tokens, where some were measured."""
    sizes = sorted(measured)
    between = [(low, high, n) for low, high in pairwise(sizes) for n in range(low, high)]
    costs = [measured[lo] + (measured[hi] - measured[lo]) * (n - lo) / (hi - lo) for lo, hi, n in between]
    return (*costs, measured[sizes[-1]])
