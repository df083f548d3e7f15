from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.ghost_stability import GhostStability
from starcoder_ls.completion.suggest import Cursor, Suggestion
from starcoder_ls.generation import FinishReason, Timings


class Screen:
    """A document whose cursor is at the end of ``before``, and what is shown there."""

    def __init__(self) -> None:
        self.steady = GhostStability()

    def show(self, before: str, text: str, after: str = "\n", asked: str = "model", replaced: int = 0) -> str:
        cursor = Cursor(before + after, len(before))
        new = Suggestion(text, len(before), len(before) + replaced, FinishReason.STOP_RULE, 9, 3, Timings())
        here = CursorText.at(cursor.text, cursor.offset)
        found = self.steady.settled(asked, here, cursor, [new] if text else [])
        if not found:
            return ""
        kept = found[0]
        assert kept.start == cursor.offset
        return kept.text + ("|" + cursor.text[kept.start : kept.end] if kept.end > kept.start else "")


def test_another_suggestion_waits_until_the_one_on_the_screen_is_typed() -> None:
    screen = Screen()
    assert screen.show("x = ", "len(names)") == "len(names)"
    assert screen.show("x = l", "ist(names)") == "en(names)"
    assert screen.show("x = le", "") == "n(names)"
    assert screen.show("x = len(names)", " + 1") == " + 1"


def test_one_that_goes_on_where_the_old_one_ended_takes_its_place() -> None:
    screen = Screen()
    screen.show("x = ", "len(")
    assert screen.show("x = l", "en(names)") == "en(names)"


def test_who_types_something_else_sees_something_else() -> None:
    screen = Screen()
    screen.show("x = ", "len(names)")
    assert screen.show("x = s", "um(names)") == "um(names)"
    assert screen.show("x = s", "um(names)", after="\ny = 1\n") == "um(names)"


def test_another_adapter_or_setting_may_say_something_else() -> None:
    screen = Screen()
    screen.show("x = ", "len(names)")
    assert screen.show("x = l", "ist(names)", asked="another") == "ist(names)"


def test_what_is_left_replaces_the_closers_that_the_whole_replaced() -> None:
    screen = Screen()
    assert screen.show("f(", "a) + 1", after=")\n", replaced=1) == "a) + 1|)"
    assert screen.show("f(a", "b)", after=")\n", replaced=1) == ") + 1|)"


def test_bracket_that_the_editor_closed_meanwhile_is_not_said_twice() -> None:
    screen = Screen()
    screen.show("x = ", "len(names)")
    assert screen.show("x = len(", "names", after=")\n") == "names"


def test_several_that_were_asked_for_are_all_shown() -> None:
    steady, cursor = GhostStability(), Cursor("x = l\n", 5)
    several = [Suggestion(text, 5, 5, FinishReason.STOP_RULE, 9, 3, Timings()) for text in ("a", "b")]
    assert steady.settled("model", CursorText.at(cursor.text, 5), cursor, several, is_alone=False) == several
