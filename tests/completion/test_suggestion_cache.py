from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.suggestion_cache import CacheBudget, CachedSuggestion, SuggestionCache
from starcoder_ls.generation import FinishReason

WORDS = st.text("ab(\n", max_size=6)


def entry(
    before: str, text: str, after: str = "", key: str = "m", reason: FinishReason = FinishReason.STOP_RULE
) -> CachedSuggestion:
    return CachedSuggestion(key, Anchor(before, after, has_document_start=True, has_document_end=True), text, reason)


def find(cache: SuggestionCache, before: str, after: str = "", key: str = "m") -> list[str]:
    return [hit.remaining for hit in cache.find_hits(key, CursorText(before, after))]


@given(st.text("ab\n ", max_size=60), st.text("ab()\n", min_size=1, max_size=40))
def test_answer_is_found_at_each_of_its_prefixes(before: str, text: str) -> None:
    cache = SuggestionCache()
    cache.add(entry(before, text))
    for chars in range(len(text) + 1):
        assert text[chars:] in find(cache, before + text[:chars])


def test_answer_is_found_after_backspace() -> None:
    cache = SuggestionCache()
    cache.add(entry("x = ", "value"))
    texts = ("x = v", "x = va", "x = v", "x = ")
    assert [find(cache, before) for before in texts] == [["alue"], ["lue"], ["alue"], ["value"]]


def test_answer_for_other_text_or_key_is_not_found() -> None:
    cache = SuggestionCache()
    cache.add(entry("x = ", "value"))
    assert find(cache, "x = w") == []
    assert find(cache, "y = v") == []
    assert find(cache, "x = v", "\nz") == []
    assert find(cache, "x = v", key="another model") == []


def test_hits_come_by_typed_characters_then_by_use() -> None:
    cache = SuggestionCache()
    cache.add(entry("x", "yz far"))
    cache.add(entry("xy", "z near"))
    assert find(cache, "xy") == ["z near", "z far"]


def test_new_answer_for_the_same_text_replaces_the_old() -> None:
    cache = SuggestionCache()
    cache.add(entry("x", "old", reason=FinishReason.CANCELLED))
    cache.add(entry("x", "new"))
    assert find(cache, "x") == ["new"]
    assert len(cache) == 1


def test_least_recently_used_answer_is_evicted_first() -> None:
    cache = SuggestionCache(max_entries=2)
    first, second, third = (entry(before, "!") for before in "abc")
    cache.add(first)
    cache.add(second)
    cache.touch(first)
    cache.add(third)
    assert [find(cache, before) for before in "abc"] == [["!"], [], ["!"]]
    cache.touch(second)  # evicted: nothing happens
    assert len(cache) == 2


def test_documents_of_a_client_share_a_budget_of_bytes() -> None:
    one = entry("a", "x" * 1000).memory_bytes
    budget = CacheBudget(max_bytes=2 * one)
    first, second = SuggestionCache(budget), SuggestionCache(budget)
    answers = [entry(before, "x" * 1000) for before in "abcd"]
    first.add(answers[0])
    second.add(answers[1])
    first.touch(answers[0])
    second.add(answers[2])
    assert (len(first), len(second), budget.used_bytes) == (1, 1, 2 * one)
    assert find(second, "b") == []
    first.close()
    first.add(answers[3])  # of a generation that was being cancelled
    assert (len(first), budget.used_bytes) == (0, one)
    second.add(entry("e", "x" * 3000))  # more than all documents may have
    assert (len(second), budget.used_bytes) == (0, 0)


def test_prompt_of_an_answer_counts_towards_its_memory() -> None:
    with_prompt = CachedSuggestion("m", Anchor("a", ""), "text", FinishReason.LENGTH, prompt_bytes=5000)
    assert with_prompt.memory_bytes - entry("a", "text").memory_bytes == 5000


def test_answer_that_was_cut_off_is_truncated() -> None:
    truncated = [reason for reason in FinishReason if entry("", "x", reason=reason).is_truncated]
    assert truncated == [FinishReason.LENGTH, FinishReason.DEADLINE, FinishReason.CANCELLED]


class CacheAgainstList(RuleBasedStateMachine):
    """The model of the cache is a list, least recently used first, that is searched from its end."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = SuggestionCache(max_entries=4)
        self.model: list[CachedSuggestion] = []

    @rule(before=WORDS, text=WORDS, after=st.sampled_from(["", "\nb"]), key=st.sampled_from("mn"))
    def add(self, before: str, text: str, after: str, key: str) -> None:
        added = entry(before, text, after, key)
        self.cache.add(added)
        self.model = [old for old in self.model if (old.generation_key, old.anchor) != (key, added.anchor)]
        self.model = [*self.model, added][-4:]

    @rule(before=WORDS, after=st.sampled_from(["", "\nb"]), key=st.sampled_from("mn"), is_used=st.booleans())
    def find(self, before: str, after: str, key: str, is_used: bool) -> None:
        expected = [
            (chars, known)
            for chars in range(len(before) + 1)
            for known in reversed(self.model)
            if known.generation_key == key
            and known.anchor.after == after
            and chars <= len(known.text)
            and before == known.anchor.before + known.text[:chars]
        ]
        hits = list(self.cache.find_hits(key, CursorText(before, after)))
        assert [(hit.typed_chars, id(hit.entry)) for hit in hits] == [(chars, id(known)) for chars, known in expected]
        if hits and is_used:
            used = hits[0].entry
            self.cache.touch(used)
            self.model.remove(used)
            self.model.append(used)

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model = []

    @invariant()
    def has_as_many_entries(self) -> None:
        assert len(self.cache) == len(self.model)


TestCacheAgainstList = CacheAgainstList.TestCase
