from __future__ import annotations

import pytest

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Source, Suggestion
from starcoder_ls.completion.suggestion_features import character_class, describe_suggestion
from starcoder_ls.generation import FinishReason, Timings


def suggestion(text: str, start: int, confidence: float = 0.5) -> Suggestion:
    return Suggestion(text, start, start, FinishReason.STOP_RULE, 9, 3, Timings(), Source.MEMORY, 2, confidence)


def test_features_describe_the_suggestion_and_the_cursor() -> None:
    cursor = Cursor("a = 1\n  f()\n", 10, "python")
    features = describe_suggestion(cursor, suggestion("x,\ny", 10, 0.123456), is_invoked=True)
    assert features == {
        "confidence": 0.1235, "chars": 4, "lines": 2, "tokens": 3, "typed_chars": 2, "column": 4, "is_line_blank": 0.0,
        "position": 0.833, "language": "python", "source": "memory", "before": "opener", "after": "closer",
        "first": "word", "last": "word", "is_invoked": 1.0,
    }  # fmt: skip


def test_features_contain_no_text_of_the_document() -> None:
    words = ("alpha", "bravo", "charlie")
    features = describe_suggestion(Cursor("alpha \ncharlie", 6, "go"), suggestion("bravo", 6), is_invoked=False)
    assert not any(word in str(value) for word in words for value in features.values())


def test_end_of_the_document_and_blank_lines_are_described() -> None:
    features = describe_suggestion(Cursor("    ", 4), suggestion("x", 4), is_invoked=False)
    assert (features["is_line_blank"], features["after"], features["before"]) == (1.0, "none", "blank")
    assert describe_suggestion(Cursor("", 0), suggestion("x", 0), is_invoked=False)["position"] == 0.0


@pytest.mark.parametrize(
    ("character", "name"),
    [("", "none"), ("\t", "blank"), ("é", "word"), ("_", "word"), (")", "closer"), ("{", "opener"), ('"', "quote"),
     (",", "separator"), ("+", "operator")],
)  # fmt: skip
def test_character_has_a_class(character: str, name: str) -> None:
    assert character_class(character) == name
