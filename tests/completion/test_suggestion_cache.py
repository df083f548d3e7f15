from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.suggestion_cache import CachedSuggestion, SuggestionCache
from starcoder_ls.generation import FinishReason

WORDS = st.text("ab(\n", max_size=6)


def entry(
    before: str, text: str, after: str = "", asked: str = "m", finish_reason: FinishReason = FinishReason.STOP_RULE
) -> CachedSuggestion:
    return CachedSuggestion(asked, Anchor(before, after, is_first=True, is_last=True), text, finish_reason)


def left(memory: SuggestionCache, head: str, rest: str = "", asked: str = "m") -> list[str]:
    return [hit.left for hit in memory.hits(asked, CursorText(head, rest))]


@given(st.text("ab\n ", max_size=60), st.text("ab()\n", min_size=1, max_size=40))
def test_every_prefix_of_an_answer_is_an_entry(before: str, text: str) -> None:
    memory = SuggestionCache()
    memory.add(entry(before, text))
    for chars in range(len(text) + 1):
        assert text[chars:] in left(memory, before + text[:chars])


def test_backspace_and_typing_again_hit_too() -> None:
    memory = SuggestionCache()
    memory.add(entry("x = ", "value"))
    heads = ("x = v", "x = va", "x = v", "x = ")
    assert [left(memory, head) for head in heads] == [["alue"], ["lue"], ["alue"], ["value"]]


def test_what_contradicts_or_was_asked_otherwise_is_unknown() -> None:
    memory = SuggestionCache()
    memory.add(entry("x = ", "value"))
    assert left(memory, "x = w") == []
    assert left(memory, "y = v") == []
    assert left(memory, "x = v", "\nz") == []
    assert left(memory, "x = v", asked="another model") == []


def test_the_nearest_question_comes_first_then_the_latest_used() -> None:
    memory = SuggestionCache()
    memory.add(entry("x", "yz far"))
    memory.add(entry("xy", "z near"))
    assert left(memory, "xy") == ["z near", "z far"]


def test_a_new_answer_to_a_question_replaces_the_old() -> None:
    memory = SuggestionCache()
    memory.add(entry("x", "old", finish_reason=FinishReason.CANCELLED))
    memory.add(entry("x", "new"))
    assert left(memory, "x") == ["new"]
    assert len(memory) == 1


def test_the_longest_unused_is_forgotten_first() -> None:
    memory = SuggestionCache(max_entries=2)
    first, second, third = (entry(before, "!") for before in "abc")
    memory.add(first)
    memory.add(second)
    memory.touch(first)
    memory.add(third)
    assert [left(memory, before) for before in "abc"] == [["!"], [], ["!"]]
    memory.touch(second)  # forgotten: nothing happens
    assert len(memory) == 2


def test_an_answer_that_was_cut_off_is_open() -> None:
    ends = {finish_reason: entry("", "x", finish_reason=finish_reason).is_open for finish_reason in FinishReason}
    assert [finish_reason for finish_reason, is_open in ends.items() if is_open] == [
        FinishReason.LENGTH,
        FinishReason.DEADLINE,
        FinishReason.CANCELLED,
    ]


class AgainstAList(RuleBasedStateMachine):
    """The memory is a list of answers that is searched from its end, bounded by use."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = SuggestionCache(max_entries=4)
        self.model: list[CachedSuggestion] = []

    @rule(before=WORDS, text=WORDS, after=st.sampled_from(["", "\nb"]), asked=st.sampled_from("mn"))
    def add(self, before: str, text: str, after: str, asked: str) -> None:
        made = entry(before, text, after, asked)
        self.memory.add(made)
        self.model = [old for old in self.model if (old.asked, old.place) != (asked, made.place)]
        self.model = [*self.model, made][-4:]

    @rule(head=WORDS, rest=st.sampled_from(["", "\nb"]), asked=st.sampled_from("mn"), is_used=st.booleans())
    def look(self, head: str, rest: str, asked: str, is_used: bool) -> None:
        expected = [
            (chars, made)
            for chars in range(len(head) + 1)
            for made in reversed(self.model)
            if made.asked == asked
            and made.place.after == rest
            and chars <= len(made.text)
            and head == made.place.before + made.text[:chars]
        ]
        hits = list(self.memory.hits(asked, CursorText(head, rest)))
        assert [(hit.typed, id(hit.entry)) for hit in hits] == [(chars, id(made)) for chars, made in expected]
        if hits and is_used:
            used = hits[0].entry
            self.memory.touch(used)
            self.model.remove(used)
            self.model.append(used)

    @rule()
    def clear(self) -> None:
        self.memory.clear()
        self.model = []

    @invariant()
    def holds_as_many(self) -> None:
        assert len(self.memory) == len(self.model)


TestAgainstAList = AgainstAList.TestCase
