"""Trains an adapter on prompts and answers; the base model's weights are frozen.

Forms the batches, sets the learning rate schedule, and counts the loss of answer tokens only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

IGNORED_TARGET = -100
"""Target of prompt and padding tokens, which have no loss (torch's default ``ignore_index``)."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One run. The learning rate rises to its peak, ``learning_rate``, over the first ``warmup_share`` of the steps and
    then falls linearly to zero."""

    bottleneck_size: int = 256
    batch_tokens: int = 4096
    max_example_tokens: int = 384
    epochs: int = 2
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and of the answer to learn, its end token included."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True, slots=True)
class StepReport:
    """After a step: the batch's mean loss over answer tokens, in nats, and the fraction of the run before the step."""

    loss: float
    fraction: float


def make_batches(examples: Sequence[Example], config: TrainingConfig, epoch: int) -> list[list[Example]]:
    """Group examples of similar length into batches of at most ``batch_tokens`` tokens with padding, in random order.

    Examples longer than ``max_example_tokens`` are left out.
    """
    rng = random.Random(f"{config.seed}/{epoch}")
    ordered = sorted(
        (example for example in examples if example.tokens <= config.max_example_tokens),
        key=lambda example: example.tokens + rng.randint(0, 16),
    )
    batches: list[list[Example]] = []
    batch: list[Example] = []
    longest = 0
    for example in ordered:
        longest = max(longest, example.tokens)
        if batch and longest * (len(batch) + 1) > config.batch_tokens:
            batches.append(batch)
            batch, longest = [], example.tokens
        batch.append(example)
    if batch:
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def train(
    model: nn.Module, weights: Sequence[nn.Parameter], examples: Sequence[Example], config: TrainingConfig
) -> Iterator[StepReport]:
    """Train ``weights``, which are parameters of ``model``; no other weight changes. Yields after each step.

    Raises ValueError if no example is short enough.
    """
    batches = [batch for epoch in range(config.epochs) for batch in make_batches(examples, config, epoch)]
    if not batches:
        raise ValueError(f"no example has at most {config.max_example_tokens} tokens")
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    device = next(model.parameters()).device
    model.train()
    for step, batch in enumerate(batches):
        fraction = step / len(batches)
        warmup = (fraction + 1 / len(batches)) / config.warmup_share
        decay = (1 - fraction) / (1 - config.warmup_share)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, warmup, decay)
        loss = _batch_loss(model, batch, device)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield StepReport(float(loss.detach()), fraction)
    model.eval()


def evaluate(model: nn.Module, examples: Sequence[Example], config: TrainingConfig) -> float:
    """Mean loss over the answer tokens of all examples, in nats."""
    device = next(model.parameters()).device
    model.eval()
    total_loss = total_tokens = 0.0
    with torch.no_grad():
        for batch in make_batches(examples, config, 0):
            answer_tokens = sum(len(example.answer) for example in batch)
            total_loss += float(_batch_loss(model, batch, device)) * answer_tokens
            total_tokens += answer_tokens
    return total_loss / total_tokens


def _batch_loss(model: nn.Module, batch: Sequence[Example], device: torch.device) -> torch.Tensor:
    """Scalar: the mean cross-entropy of the batch's answer tokens, in nats."""
    longest = max(example.tokens for example in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)  # [batch, time]
    targets = torch.full((len(batch), longest), IGNORED_TARGET)  # [batch, time]
    for row, example in enumerate(batch):
        ids[row, : example.tokens] = torch.tensor((*example.prompt, *example.answer))
        targets[row, len(example.prompt) : example.tokens] = torch.tensor(example.answer)
    ids, targets = ids.to(device), targets.to(device)
    positions = torch.arange(longest - 1, device=device)[None]
    # Padding comes after the answer, so that causal attention hides it from the answer.
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = model.base_model(  # type: ignore[operator]
            input_ids=ids[:, :-1], position_ids=positions, use_cache=False
        ).last_hidden_state
        is_target = targets[:, 1:] != IGNORED_TARGET  # logits are computed for these positions only
        logits = model.get_output_embeddings()(hidden[is_target])  # type: ignore[operator]
    return functional.cross_entropy(logits.float(), targets[:, 1:][is_target])
