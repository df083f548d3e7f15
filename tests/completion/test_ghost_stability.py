from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.ghost_stability import GhostStability
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.generation import FinishReason, Timings


class Screen:
    """A document whose cursor is at the end of ``before``, and the ghost text there."""

    def __init__(self) -> None:
        self.stability = GhostStability()

    def show(self, before: str, text: str, after: str = "\n", key: str = "model", replaced: int = 0) -> str:
        """The stable text for the new suggestion ``text``; what it replaces follows after a bar."""
        cursor = Cursor(before + after, len(before))
        new = Suggestion(text, len(before), len(before) + replaced, FinishReason.STOP_RULE, 9, 3, Timings())
        found = self.stability.stabilize(key, cursor, [new] if text else [])
        if not found:
            return ""
        shown = found[0]
        assert shown.start == cursor.offset
        return shown.text + ("|" + cursor.text[shown.start : shown.end] if shown.end > shown.start else "")


def test_shown_suggestion_stays_until_it_is_typed() -> None:
    screen = Screen()
    assert screen.show("x = ", "len(names)") == "len(names)"
    assert screen.show("x = l", "ist(names)") == "en(names)"
    assert screen.show("x = le", "") == "n(names)"
    assert screen.show("x = len(names)", " + 1") == " + 1"


def test_longer_suggestion_replaces_the_one_it_continues() -> None:
    screen = Screen()
    screen.show("x = ", "len(")
    assert screen.show("x = l", "en(names)") == "en(names)"


def test_typing_something_else_replaces_the_suggestion() -> None:
    screen = Screen()
    screen.show("x = ", "len(names)")
    assert screen.show("x = s", "um(names)") == "um(names)"
    assert screen.show("x = s", "um(names)", after="\ny = 1\n") == "um(names)"


def test_other_model_or_settings_replace_the_suggestion() -> None:
    screen = Screen()
    screen.show("x = ", "len(names)")
    assert screen.show("x = l", "ist(names)", key="another") == "ist(names)"


def test_rest_replaces_the_closers_that_the_whole_replaced() -> None:
    screen = Screen()
    assert screen.show("f(", "a) + 1", after=")\n", replaced=1) == "a) + 1|)"
    assert screen.show("f(a", "b)", after=")\n", replaced=1) == ") + 1|)"


def test_closer_inserted_meanwhile_is_not_suggested_twice() -> None:
    screen = Screen()
    screen.show("x = ", "len(names)")
    assert screen.show("x = len(", "names", after=")\n") == "names"


def test_several_requested_suggestions_are_all_shown() -> None:
    stability, cursor = GhostStability(), Cursor("x = l\n", 5)
    several = [Suggestion(text, 5, 5, FinishReason.STOP_RULE, 9, 3, Timings()) for text in ("a", "b")]
    assert stability.stabilize("model", cursor, several, is_single=False) == several
