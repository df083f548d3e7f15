"""How many CPU threads a pass gets.

Decides that short passes of a small model run on one, and so does the choice of tokens: there is too little to share
out, and a second thread that the machine gives to somebody else makes all wait. Refuses to know what a pass computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

SMALL_BYTES = 64 * 2**20
FEW_TOKENS = 16
# Bundled model behind 300 tokens, two cores, 25 tries in turn on a machine at a load of 6, one thread against two:
# 1 token at best 1.7 ms against 2.0, at the upper quartile 2.9 against 49; 4 tokens 2.0 against 2.6, 5.0 against 105.
# 512 tokens at best 67 against 41: long passes keep all threads. Changing the number takes 0.2 us.


def mark(model: Any, weight_bytes: int) -> None:
    """Remember whether ``model`` is small enough."""
    model.is_small = weight_bytes <= SMALL_BYTES


@contextmanager
def threads_for_pass(model: Any, tokens: int) -> Iterator[None]:
    """A pass of ``model`` over so many tokens in all its rows runs in here."""
    if tokens > FEW_TOKENS or not model.__dict__.get("is_small", False):
        yield
        return
    with single_threaded():
        yield


@contextmanager
def single_threaded() -> Iterator[None]:
    """What is computed in here is small. A logsumexp over 8,192 took 0.02 ms or, beside a busy process, 7."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
