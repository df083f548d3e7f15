"""What a model has learned of preferences: log probabilities of completions, and scores on held-out examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from starcoder_ls.engine.model_shape import input_device
from starcoder_ls.learning.finetuning.batches import stack_rows
from starcoder_ls.learning.preference_ids import Ids, JudgedIds, PairIds

_MEASURED_ROWS = 8


@dataclass(frozen=True, slots=True)
class Scores:
    """On held-out examples: the loss of the run, and in which share of them the model agrees with the user.

    It agrees with a pair if what was written is more probable than what was rejected, and with a judged suggestion if
    that became more probable when it was kept, or less when it was not (0.5 before training).
    """

    loss: float
    agreement: float


def completion_log_probabilities(model: Any, examples: Sequence[tuple[Ids, Ids]]) -> list[float]:
    """The log probability of each completion after its prompt, in nats; ``examples`` are (prompt, completion)."""
    model.eval()
    results: list[float] = []
    for first in range(0, len(examples), _MEASURED_ROWS):
        rows = examples[first : first + _MEASURED_ROWS]
        batch = stack_rows(
            [
                (
                    [*prompt, *completion],
                    [0.0] * len(prompt) + [1.0] * len(completion),
                    [False] * len(prompt + completion),
                )
                for prompt, completion in rows
            ]
        )
        device = input_device(model)
        ids, is_target = batch.ids.to(device), batch.weights.to(device)[:, 1:] > 0
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            logits = model.get_output_embeddings()(hidden[is_target])
        losses = torch.zeros(is_target.shape, device=device)
        losses[is_target] = functional.cross_entropy(logits.float(), ids[:, 1:][is_target], reduction="none")
        results += (-losses.sum(1)).tolist()
    return results


def log_probabilities(model: Any, examples: Sequence[PairIds | JudgedIds]) -> list[tuple[float, ...]]:
    """For each example those of what was written and of what was rejected, or that of the judged suggestion."""
    completions = [(example.prompt, completion) for example in examples for completion in _completions(example)]
    values = iter(completion_log_probabilities(model, completions))
    return [tuple(next(values) for _ in _completions(example)) for example in examples]


def _completions(example: PairIds | JudgedIds) -> tuple[Ids, ...]:
    return (example.chosen, example.rejected) if isinstance(example, PairIds) else (example.completion,)


def score(
    examples: Sequence[PairIds | JudgedIds],
    reference: Sequence[tuple[float, ...]],
    policy: Sequence[tuple[float, ...]],
    beta: float,
) -> Scores:
    """The scores of log probabilities ``policy``, beside those of the model before training.

    DPO's loss is that of its paper (Rafailov et al. 2023, equation 7); KTO's is without the KL term.
    """
    losses, agreements = [], []
    for example, before, now in zip(examples, reference, policy, strict=True):
        changes = [value - earlier for value, earlier in zip(now, before, strict=True)]
        if isinstance(example, PairIds):
            losses.append(_softplus(-beta * (changes[0] - changes[1])))
            agreements.append(float(now[0] > now[1]))
        else:
            change = changes[0] if example.is_desirable else -changes[0]
            losses.append(1 - 1 / (1 + math.exp(-beta * change)))
            agreements.append(0.5 if change == 0 else float(change > 0))
    return Scores(sum(losses) / len(losses), sum(agreements) / len(agreements))


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))
