"""Rounds a packed model to 8 bits and measures what that costs; a model that loses too much is refused."""

from __future__ import annotations

import logging

import torch

from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.runner import packed_linear
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

MAX_LOST_NATS = 0.05
"""Mean Kullback-Leibler divergence per token of ``PROBE``. The bundled model loses 0.0007."""

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
    ids = tokenizer.encode((PROBE,))[: checkpoint.context_tokens]
    before = _log_probabilities(runner, ids)
    packed_linear.round_to_8_bits(runner.model)
    rounded = ModelRunner(runner.model, runner.adapters)  # the compiled pass holds addresses of weights
    after = _log_probabilities(rounded, ids)
    lost_nats = float((before.exp() * (before - after)).sum(-1).mean())
    _log.info("8 bits cost %.4f nats a token", lost_nats)
    if not lost_nats <= MAX_LOST_NATS:
        raise ModelInvalid(
            f"{checkpoint.folder} loses {lost_nats:.2f} nats a token in 8 bits, where {MAX_LOST_NATS} may be lost: "
            "some of its weights are much larger than their neighbours. Set `model.quantization` to none."
        )
    return rounded


def _log_probabilities(runner: ModelRunner, ids: list[int]) -> torch.Tensor:
    """Log-probabilities after each of ``ids``: [time, vocabulary]."""
    cache = KvCache(runner.layers, len(ids))
    return runner.run(ForwardPass([ids], cache, LogitsFor.ALL)).values.log_softmax(-1)
