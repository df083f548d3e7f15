from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

from starcoder_ls.learning import adapter_training

PLAN = adapter_training.Plan(batch_tokens=256, most_tokens=32, epochs=6, rate=1e-2)


def model() -> GPTBigCodeForCausalLM:
    torch.manual_seed(0)
    shape = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_inner": 64}
    return GPTBigCodeForCausalLM(GPTBigCodeConfig(vocab_size=40, bos_token_id=0, eos_token_id=0, **shape)).eval()


def examples(count: int = 60) -> list[adapter_training.Example]:
    """The answer is always the same two ids and an end."""
    rng = random.Random(0)
    made = []
    for _ in range(count):
        question = [rng.randrange(5, 40) for _ in range(rng.randint(3, 20))]
        made.append(adapter_training.Example(tuple(question), (7, 8, 0)))
    return made


def test_only_the_given_weights_learn_and_the_answers_loss_falls() -> None:
    trained = model()
    trained.requires_grad_(False)
    weights = list(trained.transformer.h[1].parameters())
    for weight in weights:
        weight.requires_grad_(True)
    frozen = {name: p.clone() for name, p in trained.named_parameters() if not p.requires_grad}
    before = adapter_training.answer_loss(trained, examples(), PLAN)
    reports = list(adapter_training.train(trained, weights, examples(), PLAN))
    after = adapter_training.answer_loss(trained, examples(), PLAN)
    assert after < before - 0.5, (before, after)
    assert all(torch.equal(p, frozen[name]) for name, p in trained.named_parameters() if name in frozen)
    assert [report.done for report in reports] == sorted(report.done for report in reports)
    assert not trained.training


def test_batches_hold_every_short_example_once_and_keep_their_size() -> None:
    given = [*examples(), adapter_training.Example(tuple(range(33)), (0,))]
    for epoch in range(3):
        found = adapter_training.batches(given, PLAN, epoch)
        assert sorted(e for batch in found for e in ((x.question, x.answer) for x in batch)) == sorted(
            (x.question, x.answer) for x in given[:-1]
        )
        assert all(max(x.tokens for x in batch) * len(batch) <= PLAN.batch_tokens for batch in found)
    assert adapter_training.batches(given, PLAN, 0) != adapter_training.batches(given, PLAN, 1)


def test_neither_questions_nor_padding_count() -> None:
    asked = model()
    one = adapter_training.Example((7, 8, 9), (10, 0))
    alone = adapter_training.answer_loss(asked, [one], PLAN)
    with torch.no_grad():
        logits = asked(torch.tensor([[7, 8, 9, 10]])).logits[0].log_softmax(-1)
    assert alone == pytest.approx(-float(logits[2, 10] + logits[3, 0]) / 2, abs=0.02)
    longer = adapter_training.Example((5,) * 25, (6, 0))
    both = adapter_training.answer_loss(asked, [one, longer], PLAN)
    assert both == pytest.approx((alone + adapter_training.answer_loss(asked, [longer], PLAN)) / 2, abs=0.02)


def test_nothing_short_enough_is_an_error() -> None:
    with pytest.raises(ValueError, match="at most 32 tokens"):
        next(
            adapter_training.train(
                model(), [nn.Parameter(torch.zeros(1))], [adapter_training.Example((1,) * 40, (0,))], PLAN
            )
        )
