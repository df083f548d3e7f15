"""The gate before weights of 8 bits on a CPU: what they cost is measured, and too much is refused.

Decides what is too much. Refuses to know how weights are kept and multiplied.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.runner import bigcode_cpu, packed_linear
from starcoder_ls.engine.runner.model_forward import forward_all
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

MOST_LOST_NATS = 0.05
"""Of what a token says, on average over ``PROBE``. The bundled model loses 0.0007."""

PROBE = '''\
import argparse
from pathlib import Path


def words_of(path: Path, longest: int = 40) -> dict[str, int]:
    """Count the words of a file that have at most `longest` letters."""
    counts: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        for word in line.split():
            if len(word) <= longest:
                counts[word] = counts.get(word, 0) + 1
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    for word, count in sorted(words_of(parser.parse_args().path).items()):
        print(f"{count:6} {word}")
'''


def round_off(model: Any, layers: int, tokenizer: Tokenizer, checkpoint: Checkpoint) -> None:
    """Let ``model``, which is packed, keep its weights in 8 bits. Raises ModelInvalid where that costs too much."""
    ids = tokenizer.encode((PROBE,))[: checkpoint.context_tokens]
    before = _said(model, layers, ids)
    packed_linear.round_to_8_bits(model)
    bigcode_cpu.use(model)
    after = _said(model, layers, ids)
    lost_nats = float((before.exp() * (before - after)).sum(-1).mean())
    _log.info("8 bits cost %.4f nats a token", lost_nats)
    if not lost_nats <= MOST_LOST_NATS:
        raise ModelInvalid(
            f"{checkpoint.folder} loses {lost_nats:.2f} nats a token in 8 bits, where {MOST_LOST_NATS} may be lost: "
            "some of its weights are much larger than their neighbours. Set `model.quantization` to none."
        )


def _said(model: Any, layers: int, ids: list[int]) -> torch.Tensor:
    """Log-probabilities after each of ``ids``: [time, vocabulary]."""
    return forward_all(model, ids, KvCache(layers, len(ids))).log_softmax(-1)
