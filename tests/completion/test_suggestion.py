import pytest

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.completion.suggestion import Suggestion, build_suggestions
from starcoder_ls.generation import Timings

BEFORE = "def double(x):\n    return "


def build(*answers: str) -> list[Suggestion]:
    """Suggestions for answers in falling order of their likelihood."""
    cursor = Cursor(f"{BEFORE}\n", len(BEFORE), "python")
    generated = [GeneratedAnswer(text, tokens=1, logprob=-float(number)) for number, text in enumerate(answers)]
    return build_suggestions(generated, Timings(), cursor, cursor.insertion_point(BEFORE, "\n"))


def test_equal_candidates_are_one_suggestion() -> None:
    assert [found.text for found in build("x", "x ", "x * 2")] == ["x", "x * 2"]


def test_candidates_that_differ_by_comment_quotes_or_comma_are_one() -> None:
    found = build("f('x')", 'f("x")  # type: ignore', "f('x'),", "f('y')")
    assert [suggestion.text for suggestion in found] == ["f('x')", "f('y')"]


def test_most_likely_candidate_comes_first() -> None:
    cursor = Cursor(BEFORE, len(BEFORE), "python")
    answers = [GeneratedAnswer(text, tokens=1, logprob=logprob) for text, logprob in (("a", -2.0), ("b", -1.0))]
    found = build_suggestions(answers, Timings(), cursor, cursor.insertion_point(BEFORE, ""))
    assert [suggestion.text for suggestion in found] == ["b", "a"]


def test_suggestion_replaces_closers_that_it_contains() -> None:
    before, after = "x = f(", ")\n"
    cursor = Cursor(before + after, len(before), "python")
    answers = [GeneratedAnswer("a) + 1")]
    (found,) = build_suggestions(answers, Timings(), cursor, cursor.insertion_point(before, after))
    assert (found.text, found.start, found.end) == ("a) + 1", len(before), len(before) + 1)


@pytest.mark.parametrize("text", ['"' + "gh" + "p_" + "aB3" * 12 + '"', '"xxxxxxxxxxxx"'], ids=["secret", "mask"])
def test_suggestion_with_a_secret_or_a_mask_is_dropped(text: str) -> None:
    assert build(text) == []
