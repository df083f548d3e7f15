"""A captured pass, what its replay returns, and the statistics of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.capture import CapturedGraph
from starcoder_ls.engine.kv_cache.prefix_cache import AdapterKey
from starcoder_ls.engine.logits import Logits
from starcoder_ls.text_tokens.candidate import SampledToken

Key = tuple[AdapterKey, Bucket]
"""The adapter whose layers a graph applies, and the shape of its pass."""


@dataclass(slots=True)
class PassGraph:
    """A captured pass. ``function`` is not called again; it holds memory that the graph reads."""

    captured: CapturedGraph
    function: Callable[[], None]
    is_fused: bool = False
    is_verified: bool = False
    last_replay: int = 0


@dataclass(slots=True)
class GraphStatistics:
    """What became of passes and graphs so far, for benchmarks and tests."""

    replays: int = 0
    capture_ms: dict[Key, float] = field(default_factory=dict)
    replay_ms: dict[Key, float] = field(default_factory=dict)
    rejected: dict[Key, str] = field(default_factory=dict)  # the reasons


def logits_of_rows(
    values: torch.Tensor, likeliest: Sequence[Sequence[SampledToken]], rows: Sequence[int], positions: slice
) -> Logits:
    """The logits of one pass from ``values`` [all rows, time, vocabulary]: [rows * positions, vocabulary]."""
    if len(rows) == 1:
        return Logits(values[rows[0], positions], likeliest[rows[0]][positions])
    tokens = [token for row in rows for token in likeliest[row][positions]]
    return Logits(torch.cat([values[row, positions] for row in rows]), tokens)
