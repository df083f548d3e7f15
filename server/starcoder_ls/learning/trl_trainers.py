"""All uses of trl beyond its public API; pyproject.toml pins trl's version for this module.

trl's trainers tokenize text again and append an end token. These take rows of token ids as they are. trl also reports
the model and the device of each run to the Hub, unless it is told not to; these report nothing.
"""

from __future__ import annotations

from typing import Any

import tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback
from trl import DPOTrainer, KTOTrainer

__all__ = ["DpoTrainer", "KtoTrainer", "PrinterCallback", "padding_tokenizer"]

_PAD = "<pad>"


class _ReadyIds:
    """For a trainer of trl, before it in the order of base classes."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        """Nothing leaves this machine."""


class DpoTrainer(_ReadyIds, DPOTrainer):  # type: ignore[misc]
    """Rows have `prompt_ids`, `chosen_ids` and `rejected_ids`."""


class KtoTrainer(_ReadyIds, KTOTrainer):  # type: ignore[misc]
    """Rows have `prompt_ids`, `completion_ids`, `label`, and `KL_completion_ids`: the completion of another row."""


def padding_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that trl requires. It knows nothing but a token for padding, 0, so nothing can be tokenized."""
    known = tokenizers.Tokenizer(tokenizers.models.WordLevel({_PAD: 0}, unk_token=_PAD))
    return PreTrainedTokenizerFast(tokenizer_object=known, pad_token=_PAD, eos_token=_PAD)  # type: ignore[no-untyped-call]
