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

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

from starcoder_ls.learning import corpus
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
    seed: int = 1

    def row_length(self, tokens: int) -> int:
        return (
            self.row_tokens if tokens < self.total_tokens * (1 - self.full_length_share) else self.positions
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a step."""

    tokens: int
    total_tokens: int
    loss: float
    tokens_per_s: float
    held_out_loss: float | None = None


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


def loss_by_token(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each next token in nats, 0 for padding.  # ids [batch, time] -> [batch, time - 1]"""
    positions = torch.arange(ids.shape[1] - 1, device=ids.device).unsqueeze(0)
    logits = model(input_ids=ids[:, :-1], position_ids=positions, use_cache=False).logits
    targets = ids[:, 1:]
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=corpus.PAD, reduction="none"
    )
    return flat.view_as(targets)


class Run:
    """A training run in a folder: checkpoint.pt (resumable), log.jsonl (every report), plan.json."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        data: corpus.Corpus,
        held_out: corpus.Corpus | None,
        device: str,
        is_compiled: bool,
        workers: int,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(plan.seed)
        self.folder, self.plan, self.device, self.workers = folder, plan, device, workers
        self.model = GPTBigCodeForCausalLM(config(plan, data.vocabulary_size)).to(device)
        self.optimizer = Optimizer(self.model, plan.matrix_rate, plan.other_rate, plan.weight_decay)
        self.schedule = Schedule(plan.total_tokens, plan.warmup_tokens, plan.decay_share)
        self.tokens = 0
        self._data, self._held_out = data, held_out
        self._loss: Callable[[nn.Module, torch.Tensor], torch.Tensor] = (
            torch.compile(loss_by_token, dynamic=False) if is_compiled else loss_by_token
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
            began, losses, count = time.monotonic(), [], 0
            for ids in self._batches(length):
                losses.append(self._step(ids.to(self.device)))
                self.tokens += ids.numel()
                count += ids.numel()
                if len(losses) == report_every or self.tokens >= self.plan.total_tokens:
                    mean = float(torch.stack(losses).mean())
                    if not math.isfinite(mean):
                        raise FloatingPointError(
                            f"the loss is not finite after {self.tokens} tokens; lower the rates"
                        )
                    yield self._report(mean, count / (time.monotonic() - began))
                    began, losses, count = time.monotonic(), [], 0
                if time.monotonic() - saved_at > save_every_s:
                    self.save()
                    saved_at = time.monotonic()
                if self.tokens >= self.plan.total_tokens or self.plan.row_length(self.tokens) != length:
                    break
        self.save()

    def held_out_loss(self, length: int, rows: int = 16) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Mean loss by position on fixed held-out rows.  # [length - 1]"""
        assert self._held_out is not None
        ids = torch.from_numpy(self._held_out.rows(0, 0, rows, length))
        with torch.no_grad(), self._autocast():
            parts = [loss_by_token(self.model, row.to(self.device)).float().cpu() for row in ids.split(4)]
        return np.asarray(torch.cat(parts).mean(0).numpy())

    def export(self, folder: Path) -> None:
        """The model in Hub layout, float16: config.json, generation_config.json, model.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        copy = GPTBigCodeForCausalLM(self.model.config)
        copy.load_state_dict(self.model.state_dict())
        copy.to(torch.float16).save_pretrained(str(folder))

    def _step(self, ids: torch.Tensor) -> torch.Tensor:
        with self._autocast():
            losses = self._loss(self.model, ids)
        loss = losses.sum() / (ids[:, 1:] != corpus.PAD).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step(self.schedule.factor(self.tokens))
        return loss.detach()

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16)

    def _batches(self, length: int) -> Iterator[torch.Tensor]:
        rows = max(1, self.plan.batch_tokens // length)
        stream = _Rows(self._data, self.plan.seed, self.tokens // length, length)
        loader = DataLoader(
            stream,
            batch_size=rows,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            pin_memory=self.device.startswith("cuda"),
        )
        yield from loader

    def _report(self, loss: float, tokens_per_s: float) -> Progress:
        progress = Progress(self.tokens, self.plan.total_tokens, loss, tokens_per_s)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(progress)) + "\n")
        return progress


class _Rows(Dataset[torch.Tensor]):
    """The row stream from row ``first`` on, for a loader's workers."""

    def __init__(self, data: corpus.Corpus, seed: int, first: int, length: int) -> None:
        self._data, self._seed, self._first, self._length = data, seed, first, length

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> torch.Tensor:
        row = self._data.row(self._seed, self._first + index, self._length)
        return torch.from_numpy(row.astype(np.int64))
