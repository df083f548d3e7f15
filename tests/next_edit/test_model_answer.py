from __future__ import annotations

import math

import pytest

from starcoder_ls.generation import Chunk, FinishReason
from starcoder_ls.next_edit.edit_window import EditWindow, find_window
from starcoder_ls.next_edit.model_answer import ModelAnswer
from starcoder_ls.next_edit.token_changes import Replacement

TEXT = "a(n)\nb(n)\nc(n)\nd(n)\ne(n)\nf(n)\n"


def window_of(text: str = TEXT) -> EditWindow:
    found = find_window(text, 0, [])
    assert found is not None
    return found


def read(written: str, text: str = TEXT, closing: str = "", size: int = 3, is_ended: bool = True) -> ModelAnswer:
    """The answer after ``written`` in pieces of ``size`` characters, until it has ended."""
    answer = ModelAnswer(window_of(text), closing)
    for at in range(0, len(written), size):
        answer.add(Chunk(written[at : at + size], (1,), -0.1))
        if answer.has_ended:
            return answer
    if is_ended:
        answer.add(Chunk("", finish_reason=FinishReason.END_OF_TEXT))
    return answer


def apply(text: str, replacement: Replacement | None) -> str | None:
    if replacement is None:
        return None
    assert text[replacement.start : replacement.end] == replacement.old
    return text[: replacement.start] + replacement.text + text[replacement.end :]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a(n)\nb(k)\nc(n)\nd(n)\n", (7, 8, "n", "k")),
        ("a(n)\nx()\nb(n)\nc(n)\n", (5, 5, "", "x()\n")),
        ("a(n)\nc(n)\nd(n)\n", (5, 10, "b(n)\n", "")),
        ("a(n)\nb(n, m)\nc(n)\nd(n)\n", (8, 8, "", ", m")),
    ],
)
def test_first_change_is_the_edit_and_ends_the_answer(written: str, expected: tuple[int, int, str, str]) -> None:
    answer = read(written + "never read")
    assert answer.has_ended
    assert "never" not in answer.text
    assert answer.replacement(TEXT) == Replacement(*expected)


def test_windows_line_ends_stay() -> None:
    text = TEXT.replace("\n", "\r\n")
    for written in ("a(n)\nb(k)\nc(n)\nd(n)\n", "a(n)\nx()\nb(n)\nc(n)\n", "a(n)\nc(n)\nd(n)\n"):
        changed = apply(text, read(written, text).replacement(text))
        assert changed is not None
        assert changed.startswith("\r\n".join(written.split("\n")))
        assert "\n" not in changed.replace("\r\n", "")


@pytest.mark.parametrize("written", ["", TEXT, TEXT.rstrip(), "a(n)\nb(n)\n", TEXT + "more\n", "a(n) \nb(n)\nc(n)\n"])
def test_unchanged_cut_or_longer_answer_is_no_edit(written: str) -> None:
    assert read(written).replacement(TEXT) is None


def test_answer_that_leaves_lines_out_is_no_edit() -> None:
    text = "first(value)\n\nsecond(value, other)\nthird(value)\nfourth(value)\nfifth(value)\n"
    assert read("first(value)\nsecond(value, other)\nthird(value)\nfourth(value)\n", text).replacement(text) is None
    long = text.replace("third(value)", "third_function(value, other)")
    written = "first(value)\n\nthird_function(value, other)\nthird_function(value, other)\nfourth(value)\n"
    assert read(written, long).replacement(long) is None
    assert read(written.replace(", other", ", another", 1), long).replacement(long) is not None


def test_answer_that_is_cut_by_its_length_is_no_edit() -> None:
    answer = read("a(n)\nb(k)\nc(n)\n", is_ended=False)
    answer.add(Chunk("", finish_reason=FinishReason.LENGTH))
    assert answer.has_ended
    assert answer.replacement(TEXT) is None


def test_fence_ends_the_answer() -> None:
    changed = TEXT.replace("e(n)", "e(k)")
    answer = read(f"{changed}\n```\nThis renames n.\n", closing="\n```", size=200)
    assert apply(TEXT, answer.replacement(TEXT)) == changed
    assert read("```\nDone.\n", closing="\n```").replacement(TEXT) is None


def test_confidence_is_that_of_the_tokens_that_differ() -> None:
    answer = ModelAnswer(window_of())
    for text, probability in (("a(n)\n", 0.5), ("b(", 0.4), ("k", 0.8), (")\n", 0.3), ("c(n)\nd(n)\n", 0.2)):
        answer.add(Chunk(text, (1,), math.log(probability)))
    assert answer.confidence() == pytest.approx(0.8)


def test_confidence_of_removed_lines_is_that_of_the_next_token() -> None:
    answer = ModelAnswer(window_of())
    for text, probability in (("a(n)\n", 0.5), ("c", 0.7), ("(n)\n", 0.9), ("d(n)\n", 0.9)):
        answer.add(Chunk(text, (1,), math.log(probability)))
    assert answer.confidence() == pytest.approx(0.7)
    assert ModelAnswer(window_of()).confidence() == 0.0


def test_line_with_a_secret_is_not_changed_and_none_is_written() -> None:
    secret = "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
    text = f'a(n)\ntoken = "{secret}"\nc(n)\nd(n)\n'
    masked = "\n".join(window_of(text).lines)
    assert secret not in masked
    assert read(masked.replace("token", "tokens"), text).replacement(text) is None
    assert read(f'a(n)\nb(n)\nx = "{secret}"\nc(n)\nd(n)\n').replacement(TEXT) is None
    assert apply(text, read(masked.replace("d(n)", "d(k)"), text).replacement(text)) == text.replace("d(n)", "d(k)")


def test_hidden_characters_are_not_written() -> None:
    assert read("a(n)\nb(\u202ek)\nc(n)\nd(n)\n").replacement(TEXT) is None
