from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

from starcoder_ls.learning import adapter_training

CONFIG = adapter_training.TrainingConfig(batch_tokens=256, max_example_tokens=32, epochs=6, learning_rate=1e-2)


def create_model() -> GPTBigCodeForCausalLM:
    torch.manual_seed(0)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_inner": 64}
    return GPTBigCodeForCausalLM(GPTBigCodeConfig(vocab_size=40, bos_token_id=0, eos_token_id=0, **shape)).eval()


def examples(count: int = 60) -> list[adapter_training.Example]:
    """Random prompts with the same answer: two ids and the end token."""
    rng = random.Random(0)
    result = []
    for _ in range(count):
        prompt = [rng.randrange(5, 40) for _ in range(rng.randint(3, 20))]
        result.append(adapter_training.Example(tuple(prompt), (7, 8, 0)))
    return result


def test_training_changes_only_the_given_weights_and_lowers_the_loss() -> None:
    trained = create_model()
    trained.requires_grad_(False)
    weights = list(trained.transformer.h[1].parameters())
    for weight in weights:
        weight.requires_grad_(True)
    frozen = {name: p.clone() for name, p in trained.named_parameters() if not p.requires_grad}
    before = adapter_training.evaluate(trained, examples(), CONFIG)
    reports = list(adapter_training.train(trained, weights, examples(), CONFIG))
    after = adapter_training.evaluate(trained, examples(), CONFIG)
    assert after < before - 0.5, (before, after)
    assert all(torch.equal(p, frozen[name]) for name, p in trained.named_parameters() if name in frozen)
    assert [report.fraction for report in reports] == sorted(report.fraction for report in reports)
    assert not trained.training


def test_batches_contain_each_short_example_once_within_the_size_limit() -> None:
    all_examples = [*examples(), adapter_training.Example(tuple(range(33)), (0,))]
    for epoch in range(3):
        batches = adapter_training.make_batches(all_examples, CONFIG, epoch)
        assert sorted(e for batch in batches for e in ((x.prompt, x.answer) for x in batch)) == sorted(
            (x.prompt, x.answer) for x in all_examples[:-1]
        )
        assert all(max(x.tokens for x in batch) * len(batch) <= CONFIG.batch_tokens for batch in batches)
    assert adapter_training.make_batches(all_examples, CONFIG, 0) != adapter_training.make_batches(
        all_examples, CONFIG, 1
    )


def test_loss_counts_neither_prompts_nor_padding() -> None:
    model = create_model()
    short = adapter_training.Example((7, 8, 9), (10, 0))
    alone = adapter_training.evaluate(model, [short], CONFIG)
    with torch.no_grad():
        logits = model(torch.tensor([[7, 8, 9, 10]])).logits[0].log_softmax(-1)
    assert alone == pytest.approx(-float(logits[2, 10] + logits[3, 0]) / 2, abs=0.02)
    long = adapter_training.Example((5,) * 25, (6, 0))
    both = adapter_training.evaluate(model, [short, long], CONFIG)
    assert both == pytest.approx((alone + adapter_training.evaluate(model, [long], CONFIG)) / 2, abs=0.02)


def test_training_without_a_short_enough_example_raises() -> None:
    with pytest.raises(ValueError, match="at most 32 tokens"):
        next(
            adapter_training.train(
                create_model(), [nn.Parameter(torch.zeros(1))], [adapter_training.Example((1,) * 40, (0,))], CONFIG
            )
        )
