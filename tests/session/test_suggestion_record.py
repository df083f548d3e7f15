from __future__ import annotations

import pytest

from fakes import SCRIPTED_SETTINGS
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.feedback_store.store import ShownSuggestion
from starcoder_ls.generation import FinishReason, Timings
from starcoder_ls.session import suggestion_record
from starcoder_ls.session.suggestion_record import build_record
from starcoder_ls.settings import Feedback, InlineCompletion


def record(text: str, offset: int, keep: str, prompt_tokens: int = 1024) -> ShownSuggestion:
    suggestion = Suggestion("one\ntwo", offset, offset, FinishReason.STOP_RULE, 9, 3, Timings())
    cursor = Cursor(text, offset, "python", "/p/a.py", "file:///p/a.py", adapter="mine")
    settings = SCRIPTED_SETTINGS.model_copy(
        update={
            "feedback": Feedback.model_validate({"keep": keep}),
            "inline_completion": InlineCompletion(prompt_tokens=prompt_tokens),
        }
    )
    return build_record(
        cursor, suggestion, settings, key="key", request="request", candidate=1, model="tiny", features={"chars": 7},
        probability=0.5,
    )  # fmt: skip


def test_record_describes_the_suggestion() -> None:
    row = record("x = \n", 4, "outcomes")
    assert row == ShownSuggestion(
        "key", "python", "tiny", "mine", "model", 7, 2, None, "request", 1, "/p/a.py", {"chars": 7}, 0.5
    )


def test_record_with_text_masks_secrets_on_both_sides() -> None:
    secret = 'password = "hunter2-correct-horse-9"\n'
    row = record(f"{secret}x = \n{secret}", len(secret) + 4, "text")
    assert row.texts is not None
    assert row.texts[2] == "one\ntwo"
    for text in row.texts[:2]:
        assert "password" in text
        assert "hunter2" not in text


@pytest.mark.parametrize(("prompt_tokens", "chars"), [(64, 256), (1024, 4096), (1 << 20, 32_768)])
def test_sides_are_as_long_as_a_prompt_may_be(prompt_tokens: int, chars: int) -> None:
    row = record("y = 1\n" * 20_000, 60_000, "text", prompt_tokens)
    assert row.texts is not None
    assert len(row.texts[1]) == chars
    assert chars <= len(row.texts[0]) < chars + suggestion_record._START_STEP_CHARS
