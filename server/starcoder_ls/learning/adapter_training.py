"""Training a Parallel bottleneck adapter (Astraios) on questions and answers, the base frozen.

Decides batches, rates and what the loss counts: answers only. Refuses to know where the pairs come from.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

PAD = -100


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. The rate is the peak; it rises over ``warmup_share`` of the steps and falls linearly to zero."""

    bottleneck_size: int = 256
    batch_tokens: int = 4096
    most_tokens: int = 384
    epochs: int = 2
    rate: float = 2e-3
    warmup_share: float = 0.05
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """Ids of a question and of the answer that is to be learned, end token included."""

    question: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.question) + len(self.answer)


@dataclass(frozen=True, slots=True)
class Report:
    """After a batch: its mean loss over answer tokens, in nats, and the share of the run that is done."""

    loss: float
    done: float


def batches(examples: Sequence[Example], plan: Plan, epoch: int) -> list[list[Example]]:
    """Examples of like length together, at most ``batch_tokens`` with padding; the batches in random order."""
    rng = random.Random(f"{plan.seed}/{epoch}")
    ordered = sorted(
        (example for example in examples if example.tokens <= plan.most_tokens),
        key=lambda example: example.tokens + rng.randint(0, 16),
    )
    found: list[list[Example]] = []
    batch: list[Example] = []
    longest = 0
    for example in ordered:
        longest = max(longest, example.tokens)
        if batch and longest * (len(batch) + 1) > plan.batch_tokens:
            found.append(batch)
            batch, longest = [], example.tokens
        batch.append(example)
    if batch:
        found.append(batch)
    rng.shuffle(found)
    return found


def train(
    model: nn.Module, weights: Sequence[nn.Parameter], examples: Sequence[Example], plan: Plan
) -> Iterator[Report]:
    """Fit ``weights``, which are in ``model``; everything else stays as it is. Yields after each batch.

    Raises ValueError where no example is short enough.
    """
    steps = [batch for epoch in range(plan.epochs) for batch in batches(examples, plan, epoch)]
    if not steps:
        raise ValueError(f"no example has at most {plan.most_tokens} tokens")
    optimizer = torch.optim.AdamW(weights, lr=plan.rate, betas=(0.9, 0.95), weight_decay=0.01)
    device = next(model.parameters()).device
    model.train()
    for number, batch in enumerate(steps):
        done = number / len(steps)
        factor = min(1.0, (done + 1 / len(steps)) / plan.warmup_share, (1 - done) / (1 - plan.warmup_share))
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * factor
        loss = _loss(model, batch, device)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield Report(float(loss.detach()), done)
    model.eval()


def answer_loss(model: nn.Module, examples: Sequence[Example], plan: Plan) -> float:
    """Mean loss of the answers' tokens, in nats, nothing learned."""
    device = next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        found = [(float(_loss(model, batch, device)), _targets(batch)) for batch in batches(examples, plan, 0)]
    return sum(loss * count for loss, count in found) / sum(count for _, count in found)


def _targets(batch: Sequence[Example]) -> int:
    return sum(len(example.answer) for example in batch)


def _loss(model: nn.Module, batch: Sequence[Example], device: torch.device) -> torch.Tensor:
    longest = max(example.tokens for example in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    targets = torch.full((len(batch), longest), PAD)
    for row, example in enumerate(batch):
        ids[row, : example.tokens] = torch.tensor((*example.question, *example.answer))
        targets[row, len(example.question) : example.tokens] = torch.tensor(example.answer)
    ids, targets = ids.to(device), targets.to(device)
    positions = torch.arange(longest - 1, device=device)[None]
    # Padding stands behind: with causal attention no answer sees it.
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = model.base_model(  # type: ignore[operator]
            input_ids=ids[:, :-1], position_ids=positions, use_cache=False
        ).last_hidden_state
        is_target = targets[:, 1:] != PAD  # only these rows are worth a vocabulary of logits
        logits = model.get_output_embeddings()(hidden[is_target])  # type: ignore[operator]
    return functional.cross_entropy(logits.float(), targets[:, 1:][is_target])
