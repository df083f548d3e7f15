"""Training of a LoRA adapter on preferences by trl, from token ids.

The reference is the model before training: the same weights without the new adapter.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.model_shape import input_device
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.training_base import switch_dropout_off
from starcoder_ls.learning.preference_data import DPO, PreferenceData
from starcoder_ls.learning.preference_ids import JudgedIds, PairIds

RATE_WIDTH = 4096
"""The learning rate 1e-5 is that of models of this width and more; narrower ones need a higher one."""
_RATE = 1e-5
_SEED = 1


@dataclass(frozen=True, slots=True)
class PreferenceConfig:
    """``beta`` holds the model to its reference: rewards are ``beta`` times the change of a log probability.

    ``sft`` is the weight of the plain loss of what was written, which DPO alone may make less probable as long as what
    was rejected loses more (0.2 in Llama 3, arXiv 2407.21783, section 4.1.4); KTO has none. ``batch`` examples make a
    step; the learning rate falls as a cosine after a warm-up of a tenth of the steps.
    """

    beta: float = 0.1
    sft: float = 0.2
    learning_rate: float = _RATE
    rank: int = 64
    alpha: int = 32
    dropout: float = 0.1
    epochs: float = 2.0
    batch: int = 8
    is_checkpointed: bool = False

    def steps(self, examples: int) -> int:
        """The number of steps for a number of examples."""
        return math.ceil(self.epochs * math.ceil(examples / self.batch))


def rate_for(width: int) -> float:
    """The default learning rate of a base of this width, by the same rule as that of ``train adapter``."""
    return _RATE * max(1.0, RATE_WIDTH / width)


Step = tuple[int, float]
"""The number of a step, and the loss of its batch."""


def require_trl() -> None:
    """Raise SettingsError if the extra with trl is not installed."""
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"`train preferences` needs trl ({error}). Install it with `pip install 'starcoder-ls[preferences]'`."
        ) from error


def train_lora(
    model: Any, targets: Sequence[str], data: PreferenceData, config: PreferenceConfig, on_step: Callable[[Step], None]
) -> dict[str, torch.Tensor]:
    """Train LoRA on the modules ``targets`` of ``model``, whose layers then contain it; its weights by names in files.

    Raises FloatingPointError if the loss is not finite.
    """
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig

    from starcoder_ls.learning import trl_trainers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    disable_progress_bars()
    lora = LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(targets),
        task_type="CAUSAL_LM",
    )  # fmt: skip
    switch_dropout_off(model)  # but not that of the adapter
    trainer_class = trl_trainers.DpoTrainer if data.loss == DPO else trl_trainers.KtoTrainer
    with tempfile.TemporaryDirectory() as folder, peft_compat.suppress_warnings():
        trainer = trainer_class(
            model,
            args=_arguments(folder, data, config, input_device(model)),
            train_dataset=Dataset.from_list(_rows(data, config.batch)),
            processing_class=trl_trainers.padding_tokenizer(),
            peft_config=lora,
            callbacks=[_reporter(on_step)],
        )
        trainer.remove_callback(trl_trainers.PrinterCallback)
        trainer.train()
        return {
            name.replace(".default.", "."): weight.detach()
            for name, weight in trainer.model.named_parameters()
            if ".lora_" in name
        }


def _arguments(folder: str, data: PreferenceData, config: PreferenceConfig, device: torch.device) -> Any:
    """The configuration of trl. Nothing is saved or reported by trl itself."""
    import trl

    steps = config.steps(len(data.training))
    common: dict[str, Any] = {
        "output_dir": folder, "per_device_train_batch_size": config.batch, "max_steps": steps,
        "learning_rate": config.learning_rate, "lr_scheduler_type": "cosine", "warmup_steps": steps // 10,
        "beta": config.beta, "max_length": None, "disable_dropout": False, "seed": _SEED,
        "activation_checkpointing": config.is_checkpointed, "bf16": device.type != "mps",
        "use_cpu": device.type == "cpu", "logging_steps": 1, "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "dataloader_pin_memory": device.type == "cuda", "optim": _optimizer(device),
    }  # fmt: skip
    if data.loss == DPO:
        return trl.DPOConfig(**common, loss_type=["sigmoid", "sft"], loss_weights=[1.0, config.sft])
    kept = sum(isinstance(example, JudgedIds) and example.is_desirable for example in data.training)
    dropped = len(data.training) - kept
    # Both kinds weigh the same in sum (KTO, arXiv 2402.01306, equation 8).
    weights = {"desirable_weight": max(1.0, dropped / max(1, kept))}
    weights["undesirable_weight"] = max(1.0, kept / max(1, dropped))
    return trl.KTOConfig(**common, **weights)


def _optimizer(device: torch.device) -> str:
    """The optimizer's state may leave the memory of a GPU, if bitsandbytes is there."""
    from transformers.utils.import_utils import is_bitsandbytes_available

    return "paged_adamw_32bit" if device.type == "cuda" and is_bitsandbytes_available() else "adamw_torch"


def _rows(data: PreferenceData, batch: int) -> list[dict[str, Any]]:
    """The rows for trl. The KL divergence of KTO is estimated with the completions of other rows of a batch."""
    rows: list[dict[str, Any]] = []
    for number, example in enumerate(data.training):
        if isinstance(example, PairIds):
            ids = {"prompt": example.prompt, "chosen": example.chosen, "rejected": example.rejected}
            rows.append({f"{name}_ids": list(values) for name, values in ids.items()})
            continue
        first = number - number % batch
        size = min(batch, len(data.training) - first)
        other = data.training[first + (number - first - 1) % size]
        assert isinstance(other, JudgedIds)
        ids = {"prompt": example.prompt, "completion": example.completion, "KL_completion": other.completion}
        rows.append({f"{name}_ids": list(values) for name, values in ids.items()} | {"label": example.is_desirable})
    return rows


def _reporter(on_step: Callable[[Step], None]) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            del args, control
            logs: Mapping[str, float] = kwargs["logs"]
            if "loss" in logs:
                if not math.isfinite(logs["loss"]):
                    raise FloatingPointError(
                        f"the loss is not finite after {state.global_step} steps; start again with a lower `--rate`"
                    )
                on_step((state.global_step, logs["loss"]))

    return Reporter()
