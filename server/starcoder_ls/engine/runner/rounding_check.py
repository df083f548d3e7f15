"""Rounds a packed model to 8 or 4 bits and measures what that costs.

A model that loses too much in 4 bits gets 8; one that loses too much in 8 bits is refused.
"""

from __future__ import annotations

import logging

import torch

from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.runner import packed_linear
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.engine.runner.packed_linear import WeightFormat
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

MAX_LOST_NATS = 0.05
"""Mean Kullback-Leibler divergence per token of ``PROBE``. The bundled model loses 0.0007."""

MAX_LOST_NATS_4_BITS = 0.1
"""The same for 4 bits. The bundled model loses more: it has no weights to spare."""

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


def round_to_8_bits(runner: ModelRunner, tokenizer: Tokenizer, checkpoint: Checkpoint) -> ModelRunner:
    """Round the packed weights of the runner's model to 8 bits; a runner for the rounded model.

    Raises ModelInvalid if the model loses more than ``MAX_LOST_NATS`` by that.
    """
    ids = _probe_ids(tokenizer, checkpoint)
    before = _log_probabilities(runner, ids)
    for layer in packed_linear.layers_of(runner.model):
        layer.round_to(WeightFormat.INT8)
    rounded = ModelRunner(runner.model, runner.adapters)  # the compiled pass holds addresses of weights
    lost_nats = _lost_nats(before, rounded, ids)
    _log.info("8 bits cost %.4f nats a token", lost_nats)
    if not lost_nats <= MAX_LOST_NATS:
        raise ModelInvalid(
            f"{checkpoint.folder} loses {lost_nats:.2f} nats a token in 8 bits, where {MAX_LOST_NATS} may be lost: "
            "some of its weights are much larger than their neighbours. Set `model.quantization` to none."
        )
    return rounded


def round_to_4_bits(
    runner: ModelRunner, tokenizer: Tokenizer, checkpoint: Checkpoint
) -> tuple[ModelRunner, float | None]:
    """Round the packed weights of the runner's model to 4 bits, those of the output layer to 8; a runner for it.

    If the model loses more than ``MAX_LOST_NATS_4_BITS`` by that, it is rounded to 8 bits instead, and what 4 bits cost
    is returned too. Raises ModelInvalid if the model loses too much in 8 bits as well.
    """
    ids = _probe_ids(tokenizer, checkpoint)
    before = _log_probabilities(runner, ids)
    output, layers = runner.model.get_output_embeddings(), packed_linear.layers_of(runner.model)
    unrounded = [(layer.packed, layer.scales, layer.weight_format) for layer in layers]
    for layer in layers:
        layer.round_to(WeightFormat.INT8 if layer is output else WeightFormat.INT4)
    rounded = ModelRunner(runner.model, runner.adapters)
    lost_nats = _lost_nats(before, rounded, ids)
    _log.info("4 bits cost %.4f nats a token", lost_nats)
    if lost_nats <= MAX_LOST_NATS_4_BITS:
        return rounded, None
    for layer, (packed, scales, weight_format) in zip(layers, unrounded, strict=True):
        layer.packed, layer.scales, layer.weight_format = packed, scales, weight_format
    del unrounded, packed
    return round_to_8_bits(ModelRunner(runner.model, runner.adapters), tokenizer, checkpoint), lost_nats


def _probe_ids(tokenizer: Tokenizer, checkpoint: Checkpoint) -> list[int]:
    return tokenizer.encode((PROBE,))[: checkpoint.context_tokens]


def _lost_nats(before: torch.Tensor, rounded: ModelRunner, ids: list[int]) -> float:
    """Mean Kullback-Leibler divergence of a rounded model from the log-probabilities ``before``."""
    after = _log_probabilities(rounded, ids)
    return float((before.exp() * (before - after)).sum(-1).mean())


def _log_probabilities(runner: ModelRunner, ids: list[int]) -> torch.Tensor:
    """Log-probabilities after each of ``ids``: [time, vocabulary]."""
    cache = KvCache(runner.layers, len(ids))
    return runner.run(ForwardPass([ids], cache, LogitsFor.ALL)).values.log_softmax(-1)
