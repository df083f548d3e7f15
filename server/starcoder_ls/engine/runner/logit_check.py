"""A test of a loaded model: the logits after a short text are finite, not all equal, and those that are stored.

Every model is tested; a checkpoint with expected_logits.json, such as the bundled one, is also compared with it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch

from starcoder_ls.engine.device_errors import has_device_failed
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.integrity import EXPECTED_LOGITS_FILE
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.json_files import read_json_object
from starcoder_ls.text_tokens.tokenizer import Tokenizer

PROBE = "def add(a, b):\n    return"
MAX_PROBE_TOKENS = 12
"""Of stored logits. One short pass: it takes as long as a few generated tokens."""

MAX_UNCOMPARED_TOKENS = 4
"""Of a model without stored logits, which may be large: on a CPU they take little longer than one token."""

STORED_LOGITS = 16

MAX_DIFFERENCE = {
    "float32": 0.02, "float16": 0.05, "bfloat16": 0.25, "int8": 0.4, "torchao-int8": 0.4, "nf4": 4.0,
    "torchao-int4": 4.0,
}  # fmt: skip
"""Largest allowed difference of a stored logit, by the type of the weights. docs/security.md has the measured ones."""

_log = logging.getLogger(__name__)


def require_expected_logits(runner: ModelRunner, tokenizer: Tokenizer, checkpoint: Checkpoint, dtype_name: str) -> None:
    """Raise ModelInvalid if the model cannot run, or if its logits show that its weights are damaged."""
    stored = _read_stored(checkpoint)
    ids = stored[0] if stored else _probe_ids(tokenizer)[: min(MAX_UNCOMPARED_TOKENS, checkpoint.context_tokens)]
    try:
        logits = _last_logits(runner, ids)
    except Exception as error:
        if is_out_of_memory(error) or has_device_failed(error):
            raise
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ModelInvalid(f"{checkpoint.folder} cannot run: {reason}. Correct its config.json.") from error
    damaged = f"{checkpoint.folder} is damaged, or its config is another model's"
    if not torch.isfinite(logits).all():
        raise ModelInvalid(f"{damaged}: its logits are not finite. Download it again.")
    if len(logits) > 1 and float(logits.max() - logits.min()) == 0.0:
        raise ModelInvalid(f"{damaged}: it gives every token the same probability. Download it again.")
    if stored:
        difference = float((logits[stored[1]] - torch.tensor(stored[2])).abs().max())
        _log.info("the logits of a test text differ from the stored ones by %.4f", difference)
        if not difference <= MAX_DIFFERENCE[dtype_name]:
            raise ModelInvalid(
                f"{damaged}: its logits differ by {difference:.2f} from those stored with it, where "
                f"{MAX_DIFFERENCE[dtype_name]} is allowed for {dtype_name}. Install or download it again."
            )


def save_expected_logits(runner: ModelRunner, tokenizer: Tokenizer, folder: Path) -> None:
    """Write expected_logits.json: ids of the test text, and the logits of the likeliest tokens and of some others."""
    ids = _probe_ids(tokenizer)
    logits = _last_logits(runner, ids)
    count = STORED_LOGITS // 2
    tokens = sorted({*logits.topk(count).indices.tolist(), *range(0, len(logits), max(1, len(logits) // count))})
    values = [round(value, 4) for value in logits[tokens].tolist()]
    text = json.dumps({"ids": ids, "tokens": tokens, "logits": values})
    (folder / EXPECTED_LOGITS_FILE).write_text(text + "\n", encoding="utf-8")


def _probe_ids(tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode([PROBE])[:MAX_PROBE_TOKENS] or [0]  # a tokenizer may have no token for these letters


def _last_logits(runner: ModelRunner, ids: list[int]) -> torch.Tensor:
    """Logits after the last of ``ids``, on the CPU: [vocabulary]."""
    values = runner.run(ForwardPass([ids], KvCache(runner.layers, len(ids)))).values
    return values.reshape(-1, values.shape[-1])[-1].float().cpu()


def _read_stored(checkpoint: Checkpoint) -> tuple[list[int], list[int], list[float]] | None:
    """The ids, tokens and logits of expected_logits.json; None if there is no such file. Raises ModelInvalid."""
    file = checkpoint.folder / EXPECTED_LOGITS_FILE
    if not file.is_file():
        return None
    stored = read_json_object(file)
    lists = [stored.get(key) for key in ("ids", "tokens", "logits")]
    ids, tokens, logits = [values if isinstance(values, list) else [] for values in lists]
    if (
        not (ids and tokens)
        or not all(type(id_) is int and 0 <= id_ < checkpoint.vocabulary_size for id_ in (*ids, *tokens))
        or not all(isinstance(value, float | int) for value in logits)
        or len(ids) > MAX_PROBE_TOKENS
        or len(tokens) != len(logits)
    ):
        raise ModelInvalid(f"{file} does not contain logits of this model. Delete it.")
    return ids, tokens, [float(value) for value in logits]
