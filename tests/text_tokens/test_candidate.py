from __future__ import annotations

import pytest

import checkpoints
from starcoder_ls.generation import FinishReason, Request, StopRule
from starcoder_ls.text_tokens.candidate import Candidate, SampledToken, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer

VOCABULARY = Tokenizer(checkpoints.byte_level_tokenizer())


def ending(max_new_tokens: int = 99, stop: StopRule | None = None) -> StopCriteria:
    return StopCriteria(Request(parts=(), max_new_tokens=max_new_tokens, stop=stop), VOCABULARY, frozenset({0, 5}))


def grown(text: str, rule: StopCriteria) -> tuple[Candidate, list[str], list[tuple[int, ...]]]:
    """Feed the tokens of ``text`` until it ends: the candidate, the chunks' texts and their ids."""
    candidate = Candidate(0, VOCABULARY.start())
    texts, ids = [], []
    for id_ in VOCABULARY.encode([text]):
        after = rule.extended(candidate, id_)
        chunk = rule.chunk(candidate, after, SampledToken(id_, -1.0))
        assert chunk.logprob == -1.0
        assert chunk.finish_reason == after.finish_reason
        texts.append(chunk.text)
        ids.append(chunk.token_ids)
        candidate = after
        if candidate.finish_reason is not None:
            break
    return candidate, texts, ids


def test_text_streams_without_a_stop_rule() -> None:
    candidate, texts, ids = grown("return x + 🙂1", ending())
    assert "".join(texts) == candidate.text == "return x + 🙂1"
    assert len([text for text in texts if text]) > 3
    assert [id_ for token in ids for id_ in token] == VOCABULARY.encode(["return x + 🙂1"])


def test_length_is_counted_in_tokens() -> None:
    candidate, texts, _ = grown("return x + 1", ending(max_new_tokens=2))
    assert candidate.finish_reason is FinishReason.LENGTH
    assert len(texts) == 2


@pytest.mark.parametrize("end", [0, 5])
def test_end_token_is_no_part_of_the_text(end: int) -> None:
    before = Candidate(0, VOCABULARY.start())
    after = ending().extended(before, end)
    chunk = ending().chunk(before, after, SampledToken(end, -3.0))
    assert (chunk.text, chunk.token_ids, chunk.logprob, chunk.finish_reason) == ("", (), 0.0, FinishReason.END_OF_TEXT)


def test_stop_rule_says_how_much_is_kept_and_the_text_waits_for_it() -> None:
    seen: list[str] = []

    def at_newline(text: str) -> int | None:
        seen.append(text)
        return text.index("\n") if "\n" in text else None

    candidate, texts, ids = grown("a = 1\nb = 2", ending(stop=at_newline))
    assert candidate.finish_reason is FinishReason.STOP_RULE
    assert texts[-1] == candidate.text == "a = 1"
    assert set(texts[:-1]) == {""}
    assert all(len(token) == 1 for token in ids)
    assert seen == sorted(seen, key=len)


def test_stop_rule_sees_whole_characters_only() -> None:
    seen: list[str] = []
    grown("é🙂漢", ending(stop=lambda text: seen.append(text)))
    assert seen
    assert not any("\ufffd" in text for text in seen)


def test_stop_rule_may_keep_nothing() -> None:
    candidate, texts, _ = grown("abc", ending(stop=lambda _text: 0))
    assert (candidate.text, texts) == ("", [""])


def test_stop_rule_that_did_not_fire_keeps_all() -> None:
    _, texts, _ = grown("a = 1", ending(max_new_tokens=2, stop=lambda _text: None))
    assert texts[-1] == VOCABULARY.decode(VOCABULARY.encode(["a = 1"])[:2])


def test_a_token_can_be_taken_back() -> None:
    rule = ending()
    before = rule.extended(Candidate(0, VOCABULARY.start()), VOCABULARY.encode(["a"])[0])
    rule.extended(before, 0)
    assert (before.text, before.finish_reason) == ("a", None)
