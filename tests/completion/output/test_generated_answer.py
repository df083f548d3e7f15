import math
from collections.abc import AsyncIterator

import pytest

from fakes import ScriptedEngine
from harness import async_test
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer, collected
from starcoder_ls.generation import Chunk, FinishReason, Request, Timings


class Doubting(ScriptedEngine):
    """Says ten tokens, each with ``probability``, and counts those that were taken from it."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.probabilities = probabilities
        self.taken = 0

    async def stream(self, _: Request) -> AsyncIterator[Chunk]:
        for number, probability in enumerate(self.probabilities):
            self.taken += 1
            yield Chunk("a", token_ids=(number,), logprob=math.log(probability))
        yield Chunk("", finish_reason=FinishReason.END_OF_TEXT, timings=Timings())


def test_confidence_is_the_geometric_mean_of_the_tokens_probabilities() -> None:
    assert math.isclose(GeneratedAnswer("ab", 2, logprob=math.log(0.5) + math.log(0.125)).confidence, 0.25)


def test_answer_without_tokens_is_sure() -> None:
    assert GeneratedAnswer().confidence == 1.0


@pytest.mark.parametrize(
    ("probabilities", "said", "taken"),
    [
        ([0.9] * 10, "a" * 10, 10),
        ([0.1] * 10, "", 4),  # ended as soon as four tokens can be judged
        ([0.1, *[0.95] * 9], "a" * 10, 10),  # a doubt at the beginning is made good
        ([0.1, 0.1], "", 2),  # too short to be ended early
        ([*[0.9] * 6, *[0.001] * 4], "", 7),  # lost on the way
    ],
)
@async_test
async def test_unlikely_answer_is_ended_early_and_empty(probabilities: list[float], said: str, taken: int) -> None:
    engine = Doubting(*probabilities)
    answers, _ = await collected(engine, Request(("x",), 10), 0.4)
    assert (answers[0].text, engine.taken) == (said, taken)
    assert answers[0].finish_reason is (FinishReason.END_OF_TEXT if said else FinishReason.STOP_RULE)


@async_test
async def test_candidates_that_were_asked_for_are_shown_however_unlikely() -> None:
    answers, _ = await collected(Doubting(*[0.1] * 10), Request(("x",), 10, candidates=2), 0.4)
    assert answers[0].text == "a" * 10
