"""How many CPU threads a pass uses.

Short passes of a small model run on one thread: there is too little work to divide, and all threads wait for one that
the operating system has suspended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

SMALL_MODEL_BYTES = 64 * 2**20
SHORT_PASS_TOKENS = 16
# Bundled model behind 300 tokens, two cores, 25 tries in turn on a machine at a load of 6, one thread against two:
# 1 token at best 1.7 ms against 2.0, at the upper quartile 2.9 against 49; 4 tokens 2.0 against 2.6, 5.0 against 105.
# 512 tokens at best 67 against 41: long passes use all threads. Changing the number takes 0.2 us.


def physical_cores() -> int:
    """Those that this process may use; containers and taskset allow fewer than the machine has."""
    physical = psutil.cpu_count(logical=False) or 1
    return max(1, min(physical, len(os.sched_getaffinity(0)))) if hasattr(os, "sched_getaffinity") else physical


def threads_for_pass(tokens: int, weight_bytes: int, available: int) -> int:
    """The threads for a pass over ``tokens`` new tokens of a model of ``weight_bytes``."""
    return 1 if tokens <= SHORT_PASS_TOKENS and weight_bytes <= SMALL_MODEL_BYTES else available


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """torch computes on ``count`` threads in here."""
    before = torch.get_num_threads()
    if count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
