from __future__ import annotations

import pytest

import checkpoints
from starcoder_ls.generation import FinishReason, Request, StopRule
from starcoder_ls.text_tokens.candidate import Candidate, SampledToken, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer

TOKENIZER = Tokenizer(checkpoints.byte_level_tokenizer())


def stop_criteria(max_new_tokens: int = 99, stop: StopRule | None = None) -> StopCriteria:
    return StopCriteria(Request(parts=(), max_new_tokens=max_new_tokens, stop=stop), TOKENIZER, frozenset({0, 5}))


def generate(text: str, criteria: StopCriteria) -> tuple[Candidate, list[str], list[tuple[int, ...]]]:
    """Append the tokens of ``text`` until the candidate ends; return it, the texts of the chunks and their ids."""
    candidate = Candidate(0, TOKENIZER.initial_state())
    texts, ids = [], []
    for id_ in TOKENIZER.encode([text]):
        after = criteria.append_token(candidate, id_)
        chunk = criteria.build_chunk(candidate, after, SampledToken(id_, -1.0))
        assert chunk.logprob == -1.0
        assert chunk.finish_reason == after.finish_reason
        texts.append(chunk.text)
        ids.append(chunk.token_ids)
        candidate = after
        if candidate.finish_reason is not None:
            break
    return candidate, texts, ids


def test_text_streams_without_stop_rule() -> None:
    candidate, texts, ids = generate("return x + 🙂1", stop_criteria())
    assert "".join(texts) == candidate.text == "return x + 🙂1"
    assert len([text for text in texts if text]) > 3
    assert [id_ for token in ids for id_ in token] == TOKENIZER.encode(["return x + 🙂1"])


def test_length_limit_counts_tokens() -> None:
    candidate, texts, _ = generate("return x + 1", stop_criteria(max_new_tokens=2))
    assert candidate.finish_reason is FinishReason.LENGTH
    assert len(texts) == 2


@pytest.mark.parametrize("end", [0, 5])
def test_end_token_is_not_part_of_text(end: int) -> None:
    before = Candidate(0, TOKENIZER.initial_state())
    after = stop_criteria().append_token(before, end)
    chunk = stop_criteria().build_chunk(before, after, SampledToken(end, -3.0))
    assert (chunk.text, chunk.token_ids, chunk.logprob, chunk.finish_reason) == ("", (), 0.0, FinishReason.END_OF_TEXT)


def test_stop_rule_truncates_text_and_delays_it_to_last_chunk() -> None:
    seen: list[str] = []

    def at_newline(text: str) -> int | None:
        seen.append(text)
        return text.index("\n") if "\n" in text else None

    candidate, texts, ids = generate("a = 1\nb = 2", stop_criteria(stop=at_newline))
    assert candidate.finish_reason is FinishReason.STOP_RULE
    assert texts[-1] == candidate.text == "a = 1"
    assert set(texts[:-1]) == {""}
    assert all(len(token) == 1 for token in ids)
    assert seen == sorted(seen, key=len)


def test_stop_rule_receives_complete_characters_only() -> None:
    seen: list[str] = []
    generate("é🙂漢", stop_criteria(stop=lambda text: seen.append(text)))
    assert seen
    assert not any("\ufffd" in text for text in seen)


def test_stop_rule_can_truncate_to_empty_text() -> None:
    candidate, texts, _ = generate("abc", stop_criteria(stop=lambda _text: 0))
    assert (candidate.text, texts) == ("", [""])


def test_stop_rule_that_does_not_match_leaves_text_whole() -> None:
    _, texts, _ = generate("a = 1", stop_criteria(max_new_tokens=2, stop=lambda _text: None))
    assert texts[-1] == TOKENIZER.decode(TOKENIZER.encode(["a = 1"])[:2])


def test_append_token_leaves_candidate_unchanged() -> None:
    criteria = stop_criteria()
    before = criteria.append_token(Candidate(0, TOKENIZER.initial_state()), TOKENIZER.encode(["a"])[0])
    criteria.append_token(before, 0)
    assert (before.text, before.finish_reason) == ("a", None)
