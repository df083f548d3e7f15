"""The training loop: resumable at any step bit for bit, stopped early by the loss of middles that it does not learn.

A step depends on the run's configuration, the step's number and the weights and optimizer state before it; a checkpoint
has all of these. Checkpoints are written to a temporary file and renamed.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.batches import Batches
from starcoder_ls.learning.finetuning.row_loss import Losses, measure_losses, training_loss
from starcoder_ls.learning.finetuning.trainable import Trainable
from starcoder_ls.learning.optimizer import Optimizer, Schedule

CHECKPOINT_FILE, CONFIG_FILE, LOG_FILE = "checkpoint.pt", "run.json", "log.jsonl"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything but data and weights that changes the result. The learning rate rises over the first
    ``warmup_share`` of the steps and falls linearly to zero over the last ``decay_share``.

    Every ``evaluate_every`` steps the validation loss is measured over ``validation_steps`` batches; the run ends after
    ``patience`` measurements without a new minimum while the learning rate falls, and the weights of the minimum are
    the result. At the peak rate the loss goes up and down, and most of the gain comes when the rate falls.
    """

    steps: int
    learning_rate: float
    matrix_learning_rate: float = 0.0
    weight_decay: float = 0.0
    warmup_share: float = 0.06
    decay_share: float = 0.5
    evaluate_every: int = 50
    validation_steps: int = 16
    patience: int = 3
    data: str = ""
    """Identifies data and base, so that a checkpoint is not continued on others."""

    def rate_factor(self, step: int) -> float:
        """The learning rate of a step as a fraction of its peak."""
        return Schedule(self.warmup_share * self.steps, self.decay_share).factor(step, step / self.steps)


@dataclass(frozen=True, slots=True)
class Report:
    """After a step: the losses of its batch; ``validation`` if it was measured. ``seconds`` since the start, with those
    before the checkpoint that the run was resumed from."""

    step: int
    training: Losses
    validation: Losses | None
    seconds: float
    tokens: int


class TrainingRun:
    """A run in a folder with checkpoint.pt, run.json (its configuration) and log.jsonl (every report).

    ``clock`` returns seconds. Raises SettingsError if the folder has a checkpoint of another configuration.
    """

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        trainable: Trainable,
        training: Batches,
        validation: Batches,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)  # for dropout
        self.folder, self.config, self.trainable = folder, config, trainable
        self._training, self._validation, self._clock = training, validation, clock
        self._weights = dict(trainable.named_weights())
        self._optimizer = Optimizer(
            self._weights.items(), config.matrix_learning_rate, config.learning_rate, config.weight_decay
        )
        self.step = self.tokens = 0
        self._used_s, self._resumed_s = 0.0, clock()
        self.best_loss, self._best_weights, self._evaluations_since_best = math.inf, self._copy_weights(), 0
        self._resume()

    @property
    def is_finished(self) -> bool:
        """Whether all steps were made, or the validation loss has stopped to fall."""
        return self.step >= self.config.steps or self._evaluations_since_best >= self.config.patience

    @property
    def seconds(self) -> float:
        return self._used_s + self._clock() - self._resumed_s

    def train(self, save_every_s: float = 30.0) -> Iterator[Report]:
        """Make the remaining steps and yield a report after each; then set the best weights.

        Raises FloatingPointError if the loss is not finite.
        """
        saved_s = self._clock()
        while not self.is_finished:
            report = self._make_step()
            self._log(report)
            if self._clock() - saved_s >= save_every_s:
                self.save_checkpoint()
                saved_s = self._clock()
            yield report
        self.save_checkpoint()
        self._set_weights(self._best_weights)

    def save_checkpoint(self) -> None:
        """Replace the checkpoint; an interruption leaves the previous one. Raises OSError."""
        state = {
            "config": json.dumps(asdict(self.config)),
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "weights": self._copy_weights(),
            "optimizer": self._optimizer.state_dicts(),
            "random": torch.get_rng_state(),
            "best": [self.best_loss, self._best_weights, self._evaluations_since_best],
        }
        partial = self.folder / f"{CHECKPOINT_FILE}.partial"
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / CHECKPOINT_FILE)

    def _resume(self) -> None:
        """Raises SettingsError."""
        file = self.folder / CHECKPOINT_FILE
        if not file.is_file():
            (self.folder / CONFIG_FILE).write_text(json.dumps(asdict(self.config), indent=1), encoding="utf-8")
            (self.folder / LOG_FILE).unlink(missing_ok=True)
            return
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        if json.loads(state["config"]) != asdict(self.config):
            raise SettingsError(
                f"{self.folder} has the checkpoint of a run with other data, base or options. Use the options of that "
                "run to resume it, or delete the folder to start again."
            )
        self._set_weights(state["weights"])
        self._optimizer.load_state_dicts(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.step, self.tokens, self._used_s = state["step"], state["tokens"], state["seconds"]
        self.best_loss, self._best_weights, self._evaluations_since_best = state["best"]
        self._drop_log_after(self.step)

    def _make_step(self) -> Report:
        batch = self._training.batch(self.step)
        loss, losses = training_loss(self.trainable, batch)
        if not math.isfinite(losses.loss):
            raise FloatingPointError(
                f"the loss is not finite after {self.step} steps; start again with a lower learning rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights.values(), 1.0)
        self._optimizer.step(self.config.rate_factor(self.step))
        self.step += 1
        self.tokens += int((batch.weights > 0).sum())
        is_due = self.step % self.config.evaluate_every == 0 or self.step == self.config.steps
        return Report(self.step, losses, self._evaluate() if is_due else None, self.seconds, self.tokens)

    def _evaluate(self) -> Losses:
        losses = measure_losses(self.trainable, self._validation, self.config.validation_steps)
        if self.step > (1.0 - self.config.decay_share) * self.config.steps:
            self._evaluations_since_best += 1
        if losses.middle_loss < self.best_loss:
            self.best_loss, self._best_weights, self._evaluations_since_best = (
                losses.middle_loss, self._copy_weights(), 0,
            )  # fmt: skip
        return losses

    def _copy_weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().cpu().clone() for name, weight in self._weights.items()}

    def _set_weights(self, values: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(values[name])

    def _log(self, report: Report) -> None:
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(report)) + "\n")

    def _drop_log_after(self, step: int) -> None:
        """Lines of steps that are made again."""
        reports = read_log(self.folder)
        lines = [json.dumps(report) + "\n" for report in reports if report["step"] <= step]
        (self.folder / LOG_FILE).write_text("".join(lines), encoding="utf-8")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The reports of a run as JSON objects; a line that an interruption cut off is left out."""
    reports = []
    file = folder / LOG_FILE
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            reports.append(json.loads(line))
        except ValueError:
            continue
    return reports
