"""Batches of prompts and answers; only the answers are learned. Examples of similar length share a batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.learning.finetuning.batches import Batch, Row, stack_rows


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and of the answer to learn, its end token included.

    ``weights`` are those of the answer's tokens in the loss; empty: all have the same.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    weights: tuple[float, ...] = ()

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.answer)

    def row(self) -> Row:
        """The example as a row of a batch."""
        rest = len(self.prompt)
        weights = self.weights or (1.0,) * len(self.answer)
        return [*self.prompt, *self.answer], [0.0] * rest + [*weights], [False] * rest + [True] * len(self.answer)


class InstructionBatches:
    """``Batches`` of at most ``batch_tokens`` tokens with padding, in random order, for ``epochs`` epochs.

    Examples longer than ``max_example_tokens`` are left out. Raises ValueError if none is left.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batch_tokens: int = 4096,
        max_example_tokens: int = 384,
        epochs: int = 1,
        seed: int = 1,
    ) -> None:
        short = [example for example in examples if example.tokens <= max_example_tokens]
        if not short:
            raise ValueError(f"no example has at most {max_example_tokens} tokens")
        self.tokens = sum(example.tokens for example in short)
        """Of all examples, each once."""
        self._batches = [
            batch for epoch in range(epochs) for batch in _make_batches(short, batch_tokens, f"{seed}/{epoch}")
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        return stack_rows([example.row() for example in self._batches[step % len(self._batches)]])


def _make_batches(examples: Sequence[Example], batch_tokens: int, seed: str) -> list[list[Example]]:
    rng = random.Random(seed)
    ordered = sorted(examples, key=lambda example: example.tokens + rng.randint(0, 16))
    batches: list[list[Example]] = []
    batch: list[Example] = []
    longest = 0
    for example in ordered:
        longest = max(longest, example.tokens)
        if batch and longest * (len(batch) + 1) > batch_tokens:
            batches.append(batch)
            batch, longest = [], example.tokens
        batch.append(example)
    batches.append(batch)
    rng.shuffle(batches)
    return batches
