import random

import pytest
import torch

from starcoder_ls.learning.finetuning.instruction_batches import Example, InstructionBatches


def examples(count: int = 60) -> list[Example]:
    """Random prompts with the same answer: two ids and the end token."""
    rng = random.Random(0)
    return [Example(tuple(rng.randrange(5, 40) for _ in range(rng.randint(3, 20))), (7, 8, 0)) for _ in range(count)]


def test_each_short_example_is_read_once_an_epoch_within_the_size_limit() -> None:
    batches = InstructionBatches([*examples(), Example(tuple(range(33)), (0,))], 256, 32, epochs=2)
    rows = []
    for step in range(len(batches)):
        batch = batches.batch(step)
        assert batch.ids.numel() <= 256
        rows += [
            tuple(ids[: int(weights.nonzero()[-1]) + 1].tolist())
            for ids, weights in zip(batch.ids, batch.weights, strict=True)
        ]
    assert sorted(rows) == sorted([(*example.prompt, *example.answer) for example in examples()] * 2)
    assert [batches.batch(step).ids.shape for step in range(3)] != [
        batches.batch(step + 3).ids.shape for step in range(3)
    ]


def test_only_answers_have_a_weight() -> None:
    batch = InstructionBatches([Example((5, 6, 7), (8, 0)), Example((5,), (9,))], 256, 32).batch(0)
    weighted = {int(id_) for id_ in batch.ids[batch.weights > 0]}
    assert weighted == {8, 0, 9}
    assert torch.equal(batch.is_middle, batch.weights > 0)


def test_examples_that_are_all_too_long_raise() -> None:
    with pytest.raises(ValueError, match="at most 32 tokens"):
        InstructionBatches([Example((1,) * 40, (0,))], 256, 32)


def test_answers_may_have_weights_of_their_own() -> None:
    batches = InstructionBatches([Example((5, 6), (8, 9, 0), (1.0, 4.0, 1.0))], 256, 32)
    assert batches.batch(0).weights.tolist() == [[0.0, 0.0, 1.0, 4.0, 1.0]]
    assert batches.tokens == 5
