import math
from collections.abc import AsyncIterator

import pytest

from harness import async_test
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer, collect_answers
from starcoder_ls.generation import Chunk, FinishReason, Request, Timings
from stepped_engine import SteppedEngine


class EngineWithProbabilities(SteppedEngine):
    """Generates a token for each of ``probabilities``, and counts the tokens that were read from it."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.probabilities = probabilities
        self.finish_reason = FinishReason.END_OF_TEXT
        self.tokens_read = 0

    async def stream(self, _: Request) -> AsyncIterator[Chunk]:
        for number, probability in enumerate(self.probabilities):
            self.tokens_read += 1
            yield Chunk("a", token_ids=(number,), logprob=math.log(probability))
        yield Chunk("", finish_reason=self.finish_reason, timings=Timings())


def test_confidence_is_geometric_mean_of_token_probabilities() -> None:
    assert math.isclose(GeneratedAnswer("ab", 2, logprob=math.log(0.5) + math.log(0.125)).confidence, 0.25)


def test_answer_without_tokens_has_full_confidence() -> None:
    assert GeneratedAnswer().confidence == 1.0


@pytest.mark.parametrize(
    ("probabilities", "text", "tokens_read"),
    [
        ([0.9] * 10, "a" * 10, 10),
        ([0.1] * 10, "", 4),  # stops as soon as there are four tokens to judge
        ([0.1, *[0.95] * 9], "a" * 10, 10),  # an unlikely first token does not matter
        ([0.1, 0.1], "", 2),  # too short to stop early
        ([*[0.9] * 6, *[0.001] * 4], "", 7),  # becomes unlikely later
    ],
)
@async_test
async def test_unlikely_answer_stops_early_and_is_empty(
    probabilities: list[float], text: str, tokens_read: int
) -> None:
    engine = EngineWithProbabilities(*probabilities)
    answers, _ = await collect_answers(engine, Request(("x",), 10), 0.4)
    assert (answers[0].text, engine.tokens_read) == (text, tokens_read)
    assert answers[0].finish_reason is (FinishReason.END_OF_TEXT if text else FinishReason.STOP_RULE)


@async_test
async def test_cancelled_answer_is_kept_however_unlikely_its_tokens_are() -> None:
    engine = EngineWithProbabilities(0.1)
    engine.finish_reason = FinishReason.CANCELLED
    answers, _ = await collect_answers(engine, Request(("x",), 10), 0.4)
    assert answers == [GeneratedAnswer("a", 1, FinishReason.CANCELLED, math.log(0.1))]


@pytest.mark.parametrize(("probability", "text"), [(0.9, "bcaaaa"), (0.01, "")])
@async_test
async def test_resumed_answer_is_judged_as_a_whole(probability: float, text: str) -> None:
    first = GeneratedAnswer("bc", 2, logprob=2 * math.log(probability))
    answers, _ = await collect_answers(EngineWithProbabilities(*[0.9] * 4), Request(("x",), 10), 0.4, first)
    assert [answer.text for answer in answers] == [text]


@async_test
async def test_unlikely_answers_stay_if_several_were_requested() -> None:
    answers, _ = await collect_answers(EngineWithProbabilities(*[0.1] * 10), Request(("x",), 10, candidates=2), 0.4)
    assert answers[0].text == "a" * 10
