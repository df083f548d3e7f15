import asyncio

import pytest

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.generation import FinishReason
from starcoder_ls.settings import InlineCompletion
from stepped_engine import SteppedEngine

CODE = "def double(x):\n    return \n\nprint(double(2))\n"
OFFSET = CODE.index("return ") + len("return ")


def run(engine: SteppedEngine, candidates: int = 1, **options: object) -> list[Suggestion]:
    cursor = Cursor(CODE, OFFSET, "python")
    return asyncio.run(suggest(engine, cursor, InlineCompletion(**options), candidates))  # type: ignore[arg-type]


def test_suggestion_ends_with_the_statement() -> None:
    engine = SteppedEngine(["2 ", "* x", "\n", "\ndef more", "():\n"])
    (found,) = run(engine)
    assert (found.text, found.start, found.end) == ("2 * x", OFFSET, OFFSET)
    assert found.finish_reason is FinishReason.STOP_RULE
    assert engine.steps <= 4


def test_only_several_candidates_are_sampled() -> None:
    engine = SteppedEngine(["x", "\n"])
    run(engine, 1)
    run(engine, 3)
    assert [request.sampling.temperature for request in engine.requests] == [0.0, InlineCompletion().temperature]


def test_blank_answer_is_no_suggestion() -> None:
    assert run(SteppedEngine([" ", "\n", "\n"])) == []


def test_answer_that_exceeds_the_time_budget_is_shown_as_far_as_it_got() -> None:
    (found,) = run(SteppedEngine([f"word{i} + " for i in range(60)], token_s=10.0), budget_ms=60_000)
    assert found.finish_reason is FinishReason.DEADLINE
    assert found.text.startswith("word0 + ")


def test_cancelled_request_has_no_suggestions() -> None:
    flag = CancelFlag()
    flag.set()
    engine = SteppedEngine(["x", "\n"])
    assert asyncio.run(suggest(engine, Cursor(CODE, OFFSET), InlineCompletion(), 1, flag)) == []
    assert engine.requests[0].cancel is flag


@pytest.mark.parametrize("line_end", ["\r", "\r\n"])
def test_model_reads_line_feeds_whatever_the_document_has(line_end: str) -> None:
    engine = SteppedEngine(["x\n", "    y\n", "z\n"])
    text = CODE.replace("\n", line_end)
    cursor = Cursor(text, text.index("return ") + len("return "))
    (found,) = asyncio.run(suggest(engine, cursor, InlineCompletion()))
    assert found.text == "x"
    assert found.start == cursor.offset
    assert not any("\r" in part for part in engine.requests[0].parts if isinstance(part, str))
