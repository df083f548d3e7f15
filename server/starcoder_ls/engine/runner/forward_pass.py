"""One pass of the model over the new tokens of one cache: what requests are made of.

Decides what a pass is asked for, and how the generator of a request and whoever runs its passes talk. Refuses to know
which passes run together.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch

from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import model_forward
from starcoder_ls.engine.runner.logits import Logits
from starcoder_ls.engine.runner.threads import threads_for_pass
from starcoder_ls.generation import Chunk


class LogitsFor(enum.Enum):
    """After which tokens of a pass somebody wants to know what comes next."""

    NONE = enum.auto()
    LAST = enum.auto()
    ALL = enum.auto()


@dataclass(eq=False, slots=True)
class ForwardPass:
    """Read ``rows``, each as many new tokens as the others, behind what ``cache`` holds.

    ``took_ms`` is how long the request waited for it once it ran, whoever else's tokens ran along.
    """

    rows: list[list[int]]
    cache: KvCache
    wanted: LogitsFor = LogitsFor.LAST
    took_ms: float = 0.0

    @property
    def tokens(self) -> int:
        return len(self.rows) * len(self.rows[0])

    @property
    def asked(self) -> slice:
        """After which tokens of each row."""
        end = len(self.rows[0])
        return {LogitsFor.ALL: slice(0, end), LogitsFor.LAST: slice(end - 1, end), LogitsFor.NONE: slice(0, 0)}[
            self.wanted
        ]


Work = Generator[ForwardPass | tuple[Chunk, ...], Logits | None, None]
"""A request: the passes it needs and the chunks it makes, none where it may be left between two passes. What is sent
into a pass are its logits, [rows, vocabulary] or, where all are wanted of its one row, [time, vocabulary]; or None, and
the pass was not run, once the request is over."""

Pieces = Generator[tuple[Chunk, ...], None, None]


def run(model: Any, wanted: ForwardPass) -> Logits:
    """The logits that a pass is about; where it wants none, something else."""
    return _timed(model, [wanted], lambda: [_plain(model, wanted)])[0]


def run_together(model: Any, several: list[ForwardPass]) -> list[Logits]:
    """``run`` of each, in one pass of the model; only where ``decode.can_read_together``."""
    return _timed(model, several, lambda: _plain_together(model, several))


def _timed(model: Any, several: list[ForwardPass], plain: Callable[[], list[torch.Tensor]]) -> list[Logits]:
    """From a graph where there is one for them, else from ``plain``."""
    started_s = time.monotonic()
    graphs = model.__dict__.get("graphs")
    with threads_for_pass(model, sum(wanted.tokens for wanted in several)):
        answers: list[Logits] | None = None if graphs is None else graphs.answers(several, plain)
        if answers is None:
            answers = [Logits(values) for values in plain()]
    took_ms = (time.monotonic() - started_s) * 1000
    for wanted in several:
        wanted.took_ms = took_ms
    return answers


def _plain(model: Any, wanted: ForwardPass) -> torch.Tensor:
    if wanted.wanted is LogitsFor.ALL:
        return model_forward.forward_all(model, wanted.rows[0], wanted.cache)
    if wanted.wanted is LogitsFor.LAST:
        return model_forward.forward(model, wanted.rows, wanted.cache)
    return model_forward.read(model, wanted.rows, wanted.cache)


def _plain_together(model: Any, several: list[ForwardPass]) -> list[torch.Tensor]:
    hidden = model_forward.read_together(model, [(wanted.rows, wanted.cache) for wanted in several])
    picked = [
        states.flatten(0, 1) if wanted.wanted is LogitsFor.ALL else states[:, -1]
        for wanted, states in zip(several, hidden, strict=True)
        if wanted.wanted is not LogitsFor.NONE
    ]
    logits = iter(model_forward.logits_of(model, picked))
    return [
        states if wanted.wanted is LogitsFor.NONE else next(logits)
        for wanted, states in zip(several, hidden, strict=True)
    ]


def alone(model: Any, work: Work) -> Pieces:
    """Each pass as soon as it is wanted: a request that has the model to itself."""
    try:
        made = next(work)
        while True:
            if isinstance(made, ForwardPass):
                made = work.send(run(model, made))
            else:
                yield made
                made = next(work)
    except StopIteration:
        return
    finally:
        work.close()
