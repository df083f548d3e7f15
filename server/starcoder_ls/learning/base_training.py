"""Trains a base model from scratch: a GPTBigCode in StarCoder's format, on one device, resumable at any step.

Contains the model's shape, the phases of a run, its checkpoints and its log.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

from starcoder_ls.learning import corpus, loss, precision, training_attention
from starcoder_ls.learning.optimizer import Optimizer, Schedule


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Everything that changes the result of a run; device and speed do not."""

    layers: int = 6
    width: int = 256
    heads: int = 4
    positions: int = 2048
    total_tokens: int = 20_000_000
    """Where the run ends; not used if ``minutes`` are set."""
    minutes: float = 0.0
    """Where the run ends, in minutes of training, however fast the machine is; 0 is no limit."""
    batch_tokens: int = 4096
    row_tokens: int = 512
    full_length_share: float = 0.12
    """In the last phase rows have the length ``positions``, so that every position is trained."""
    warmup_tokens: int = 400_000
    decay_share: float = 0.4
    matrix_learning_rate: float = 0.02
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    middle_weight: float = 4.0
    """Weight of a middle's tokens in the loss; other tokens have 1. Middles are a few percent of a row."""
    seed: int = 1

    def row_length(self, fraction: float) -> int:
        """Length of the rows after ``fraction`` of the run."""
        return self.row_tokens if fraction < 1 - self.full_length_share else self.positions


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """The state of a run and the mean losses over tokens since the last report, in nats."""

    tokens: int
    fraction: float  # of the run
    loss: float
    middle_loss: float
    tokens_per_s: float


def create_model_config(config: TrainingConfig, vocabulary_size: int) -> GPTBigCodeConfig:
    return GPTBigCodeConfig(
        vocab_size=vocabulary_size,
        n_positions=config.positions,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        n_inner=4 * config.width,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=corpus.END_ID,
        eos_token_id=corpus.END_ID,
        pad_token_id=None,
        multi_query=True,
        use_cache=True,
    )


def read_batch_tokens(folder: Path) -> int | None:
    """The tokens of a step of the run in ``folder``; None if there is no checkpoint to resume from."""
    config = folder / "training_config.json"
    if not config.is_file() or not (folder / "checkpoint.pt").is_file():
        return None
    return int(json.loads(config.read_text(encoding="utf-8"))["batch_tokens"])


class TrainingRun:
    """A run in a folder: checkpoint.pt (to resume from), log.jsonl (every report), training_config.json.

    ``clock`` returns seconds. A run that is limited in minutes has used those that its checkpoint says.
    """

    def __init__(
        self,
        folder: Path,
        config: TrainingConfig,
        data: corpus.Corpus,
        held_out: corpus.Corpus,
        device: str,
        is_compiled: bool,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.folder, self.config, self.device, self.workers = folder, config, device, workers
        self.model = GPTBigCodeForCausalLM(create_model_config(config, data.vocabulary_size))
        self.model.to(torch.device(device))  # type: ignore[arg-type]  # transformers wraps Module.to without its types
        self.optimizer = Optimizer(
            self.model.named_parameters(), config.matrix_learning_rate, config.learning_rate, config.weight_decay
        )
        self.schedule = Schedule(config.warmup_tokens, config.decay_share)
        self.tokens = 0
        self._clock, self._used_s, self._resumed_s = clock, 0.0, clock()
        self.data, self._held_out = data, held_out
        self._token_losses: Callable[[nn.Module, torch.Tensor], torch.Tensor] = (
            torch.compile(loss.token_losses, dynamic=False) if is_compiled else loss.token_losses
        )
        (folder / "training_config.json").write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far, with those before the checkpoint that the run was resumed from."""
        return self._used_s + self._clock() - self._resumed_s

    @property
    def fraction(self) -> float:
        """How much of the run is done, from 0 to 1."""
        if self.config.minutes:
            return min(1.0, self.elapsed_s / (self.config.minutes * 60))
        return min(1.0, self.tokens / self.config.total_tokens)

    def load_checkpoint(self, path: Path, is_own: bool = True) -> None:
        """Load weights, optimizer state and position from a checkpoint of this run, or of one that it continues.

        The minutes that another run took do not count.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dicts(state["optimizer"])
        self.tokens = int(state["tokens"])
        self._used_s, self._resumed_s = float(state.get("elapsed_s", 0.0)) if is_own else 0.0, self._clock()

    def save_checkpoint(self) -> None:
        """Write a temporary file and rename it, so that an interruption leaves the previous checkpoint intact."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dicts(),
            "tokens": self.tokens,
            "elapsed_s": self.elapsed_s,
        }
        partial = self.folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "checkpoint.pt")

    def train(self, report_every: int = 20, save_every_s: float = 120.0) -> Iterator[TrainingReport]:
        """Train to the end of the run and save checkpoints; yields a report every ``report_every`` steps.

        Raises FloatingPointError if the loss is not finite.
        """
        saved_s = self._clock()
        while self.fraction < 1:
            length = self.config.row_length(self.fraction)
            start_s, tokens = self._clock(), 0  # since the last report
            losses: list[torch.Tensor] = []
            for ids, is_middle in self._batches(length):
                losses.append(self._step(ids.to(self.device), is_middle.to(self.device)))
                self.tokens += ids.numel()
                tokens += ids.numel()
                if len(losses) == report_every or self.fraction >= 1:
                    yield self._report(torch.stack(losses), tokens / max(self._clock() - start_s, 1e-9))
                    start_s, losses, tokens = self._clock(), [], 0
                if self._clock() - saved_s > save_every_s:
                    self.save_checkpoint()
                    saved_s = self._clock()
                if self.fraction >= 1 or self.config.row_length(self.fraction) != length:
                    break
            if losses:
                yield self._report(torch.stack(losses), tokens / max(self._clock() - start_s, 1e-9))
        self.save_checkpoint()

    def measure_held_out_loss(self, length: int, rows: int = 16) -> loss.HeldOutLoss:
        """On the same held-out rows in every call."""
        with self._autocast():
            return loss.measure_held_out_loss(self.model, self._held_out, length, rows)

    def export(self, folder: Path) -> None:
        """Write the model in Hub layout, as float16: config.json, generation_config.json, model.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        copy = GPTBigCodeForCausalLM(self.model.config)
        copy.load_state_dict(self.model.state_dict())
        copy.half().save_pretrained(str(folder))  # type: ignore[no-untyped-call]

    def _step(self, ids: torch.Tensor, is_middle: torch.Tensor) -> torch.Tensor:
        """One step.  # ids, is_middle [batch, time] -> [2]: mean loss, mean loss of middles"""
        with self._autocast(), training_attention.installed_in(self.model):
            losses = self._token_losses(self.model, ids)
        is_target, is_middle = ids[:, 1:] != corpus.PAD_ID, is_middle[:, 1:]
        weights = is_target + (self.config.middle_weight - 1) * is_middle
        ((losses * weights).sum() / weights.sum()).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step(self.schedule.factor(self.tokens, self.fraction))
        losses = losses.detach()
        return torch.stack((losses.sum() / is_target.sum(), losses[is_middle].mean()))

    def _autocast(self) -> torch.autocast:
        return precision.autocast(self.device.split(":")[0])

    def _batches(self, length: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = max(1, self.config.batch_tokens // length)
        dataset = corpus.RowDataset(self.data, self.config.seed, self.tokens // length, length)
        loader = DataLoader(
            dataset,
            batch_size=rows,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            pin_memory=self.device.startswith("cuda"),
        )
        yield from loader

    def _report(self, losses: torch.Tensor, tokens_per_s: float) -> TrainingReport:
        """Log the mean losses.  # losses [steps, 2]: of all tokens and of middles, nan if a step has no middle

        Raises FloatingPointError if the loss is not finite.
        """
        loss, middle_loss = float(losses[:, 0].mean()), float(losses[:, 1].nanmean())
        report = TrainingReport(self.tokens, self.fraction, loss, middle_loss, tokens_per_s)
        if not math.isfinite(report.loss):
            raise FloatingPointError(f"the loss is not finite after {self.tokens} tokens; lower the learning rates")
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(report)) + "\n")
        return report
