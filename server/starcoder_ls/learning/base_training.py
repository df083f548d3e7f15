"""Training a base model from nothing: a GPTBigCode with StarCoder's format, on one device, resumable at any step.

Decides shape, phases, checkpoints and what is written down on the way. Refuses to know where the text comes from.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

from starcoder_ls.learning import corpus, loss
from starcoder_ls.learning.optimizer import Optimizer, Schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """One training run. Everything that changes the result is here; device and speed are not."""

    layers: int = 6
    width: int = 256
    heads: int = 4
    positions: int = 2048
    total_tokens: int = 20_000_000
    batch_tokens: int = 4096
    row_tokens: int = 512
    full_length_share: float = 0.12
    """The last phase reads rows of all ``positions``, so that each of them is trained."""
    warmup_tokens: int = 400_000
    decay_share: float = 0.4
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    weight_decay: float = 0.01
    middle_weight: float = 4.0
    """Of a middle's tokens in the loss, against 1 for all others: a middle is a few percent of a row."""
    seed: int = 1

    def row_length(self, tokens: int) -> int:
        return self.row_tokens if tokens < self.total_tokens * (1 - self.full_length_share) else self.positions


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a step; losses are means over tokens, in nats."""

    tokens: int
    total_tokens: int
    loss: float
    middle_loss: float
    tokens_per_s: float


def config(plan: Plan, vocabulary_size: int) -> GPTBigCodeConfig:
    return GPTBigCodeConfig(
        vocab_size=vocabulary_size,
        n_positions=plan.positions,
        n_embd=plan.width,
        n_layer=plan.layers,
        n_head=plan.heads,
        n_inner=4 * plan.width,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=corpus.END,
        eos_token_id=corpus.END,
        pad_token_id=None,
        multi_query=True,
        use_cache=True,
    )


class Run:
    """A training run in a folder: checkpoint.pt (resumable), log.jsonl (every report), plan.json."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        data: corpus.Corpus,
        held_out: corpus.Corpus,
        device: str,
        is_compiled: bool,
        workers: int,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        self.folder, self.plan, self.device, self.workers = folder, plan, device, workers
        self.model = GPTBigCodeForCausalLM(config(plan, data.vocabulary_size))
        self.model.to(torch.device(device))  # type: ignore[arg-type]  # transformers wraps Module.to without its types
        self.optimizer = Optimizer(self.model, plan.matrix_rate, plan.other_rate, plan.weight_decay)
        self.schedule = Schedule(plan.total_tokens, plan.warmup_tokens, plan.decay_share)
        self.tokens = 0
        self.data, self._held_out = data, held_out
        self._loss: Callable[[nn.Module, torch.Tensor], torch.Tensor] = (
            torch.compile(loss.by_token, dynamic=False) if is_compiled else loss.by_token
        )
        (folder / "plan.json").write_text(json.dumps(asdict(plan), indent=1), encoding="utf-8")

    def restore(self, path: Path) -> None:
        """Weights, optimizer and position from a checkpoint of this run or of one that it continues."""
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.optimizer.restore(saved["optimizer"])
        self.tokens = int(saved["tokens"])

    def save(self) -> None:
        """Written beside and renamed, so that a cut leaves the old one."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state(), "tokens": self.tokens}
        partial = self.folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "checkpoint.pt")

    def steps(self, report_every: int = 20, save_every_s: float = 120.0) -> Iterator[Progress]:
        """Train to the end of the plan, saving on the way; yields a report every ``report_every`` steps."""
        saved_at = time.monotonic()
        while self.tokens < self.plan.total_tokens:
            length = self.plan.row_length(self.tokens)
            began, count = time.monotonic(), 0
            losses: list[torch.Tensor] = []
            for ids, middles in self._batches(length):
                losses.append(self._step(ids.to(self.device), middles.to(self.device)))
                self.tokens += ids.numel()
                count += ids.numel()
                if len(losses) == report_every or self.tokens >= self.plan.total_tokens:
                    yield self._report(torch.stack(losses), count / (time.monotonic() - began))
                    began, losses, count = time.monotonic(), [], 0
                if time.monotonic() - saved_at > save_every_s:
                    self.save()
                    saved_at = time.monotonic()
                if self.tokens >= self.plan.total_tokens or self.plan.row_length(self.tokens) != length:
                    break
        self.save()

    def held_out_loss(self, length: int, rows: int = 16) -> loss.HeldOut:
        """On fixed held-out rows."""
        with self._autocast():
            return loss.held_out(self.model, self._held_out, length, rows)

    def export(self, folder: Path) -> None:
        """The model in Hub layout, float16: config.json, generation_config.json, model.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        copy = GPTBigCodeForCausalLM(self.model.config)
        copy.load_state_dict(self.model.state_dict())
        copy.half().save_pretrained(str(folder))  # type: ignore[no-untyped-call]

    def _step(self, ids: torch.Tensor, is_middle: torch.Tensor) -> torch.Tensor:
        """One update.  # ids, is_middle [batch, time] -> [2]: mean loss, mean loss of middles"""
        with self._autocast():
            losses = self._loss(self.model, ids)
        is_target, is_middle = ids[:, 1:] != corpus.PAD, is_middle[:, 1:]
        weights = is_target + (self.plan.middle_weight - 1) * is_middle
        ((losses * weights).sum() / weights.sum()).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step(self.schedule.factor(self.tokens))
        losses = losses.detach()
        return torch.stack((losses.sum() / is_target.sum(), losses[is_middle].mean()))

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16)

    def _batches(self, length: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = max(1, self.plan.batch_tokens // length)
        stream = corpus.Rows(self.data, self.plan.seed, self.tokens // length, length)
        loader = DataLoader(
            stream,
            batch_size=rows,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            pin_memory=self.device.startswith("cuda"),
        )
        yield from loader

    def _report(self, losses: torch.Tensor, tokens_per_s: float) -> Progress:
        """Write down the means.  # losses [steps, 2]; a step without a middle has nan as its second"""
        loss, middle_loss = float(losses[:, 0].mean()), float(losses[:, 1].nanmean())
        progress = Progress(self.tokens, self.plan.total_tokens, loss, middle_loss, tokens_per_s)
        if not math.isfinite(progress.loss):
            raise FloatingPointError(f"the loss is not finite after {self.tokens} tokens; lower the rates")
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(progress)) + "\n")
        return progress
