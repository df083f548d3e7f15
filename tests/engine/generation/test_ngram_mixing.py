from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.engine.generation.ngram_mixing import (
    MATCH_CHARS,
    STRENGTHS_FILE,
    DocumentNgrams,
    NgramMixer,
    NgramStrengths,
    Observation,
    fit_to_observations,
    observe,
)
from starcoder_ls.engine.logits import Logits
from starcoder_ls.errors import ModelInvalid

TEXTS = st.text(alphabet="ab ", max_size=50)


def encode(text: str) -> list[int]:
    """A vocabulary of single characters."""
    return [ord(char) for char in text]


def expected_levels(before: str, after: str, generated: str) -> list[tuple[int, dict[int, int]]]:
    """The levels by their definition: every offset of the document is compared."""
    found = []
    tail = before + generated
    for length in MATCH_CHARS:
        followers: dict[int, int] = {}
        for text in (after, before):
            for end in range(length, len(text)):
                if len(tail) >= length and text[end - length : end] == tail[-length:]:
                    followers[ord(text[end])] = followers.get(ord(text[end]), 0) + 1
        if not followers:
            break
        found.append((length, followers))
    return found


@given(TEXTS, TEXTS, st.text(alphabet="ab ", max_size=8))
def test_levels_are_what_followed_in_the_document(before: str, after: str, generated: str) -> None:
    document = DocumentNgrams(before, [after], encode)
    assert [(length, dict(followers)) for length, followers in document.levels(generated)] == expected_levels(
        before, after, generated
    )


def test_nearest_occurrences_before_the_cursor_are_used() -> None:
    document = DocumentNgrams("xy1" * 80 + "xy2" * 64 + "xy", ["xy3" * 80], encode)
    (_, followers), *_ = document.levels()
    assert dict(followers) == {ord("2"): 64}


def test_generated_text_is_not_searched() -> None:
    assert list(DocumentNgrams("begin ", [], encode).levels("get(x).get(x).get(x)")) == []


def test_partial_word_is_continued_by_the_rest_of_it() -> None:
    document = DocumentNgrams("raise NotImplemented\nraise Not", [], lambda text: [len(text.split("\n")[0])])
    lengths = dict(document.levels())
    assert lengths[8] == {len("Implemented"): 1}


def test_mixture_is_a_distribution_with_the_shares_of_followers() -> None:
    levels = [(2, {3: 1}), (3, {3: 1})]
    mixed = NgramStrengths({"2/1/one": 0.5, "3/1/one": 0.5}).mix(torch.zeros(12), levels).softmax(-1)
    assert float(mixed.sum()) == pytest.approx(1.0)
    assert float(mixed[3]) == pytest.approx(0.75 + 0.25 / 12)
    assert float(mixed[4]) == pytest.approx(0.25 / 12)


def test_logits_are_unchanged_without_strengths_or_matches() -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(0))
    for strengths, levels in ((NgramStrengths({}), [(2, {3: 1})]), (NgramStrengths({"2/1/one": 0.9}), [])):
        assert torch.equal(strengths.mix(logits, levels), logits)


def test_each_row_is_mixed_by_its_own_text_and_none_leaves_it() -> None:
    document = DocumentNgrams("ab1 cd2 ", [], encode)
    mixer = NgramMixer(NgramStrengths({"2/1/one": 0.9}), document)
    logits = torch.zeros(3, 128)
    mixed = mixer.mix(Logits(logits), ["ab", "cd", None]).values
    assert mixed.argmax(-1).tolist()[:2] == [ord("1"), ord("2")]
    assert torch.equal(mixed[2], logits[2])


def test_fit_finds_the_strength_that_generated_the_data() -> None:
    rng = random.Random(0)
    observations = [Observation(0.02, (("2/1/one", 1.0 if rng.random() < 0.7 else 0.0),)) for _ in range(4000)]
    assert fit_to_observations(observations).by_evidence["2/1/one"] == pytest.approx(0.7, abs=0.03)


def test_observation_has_the_shares_that_the_mixture_uses() -> None:
    levels, logits = [(2, {6: 1})], torch.zeros(10)
    assert observe(logits, levels, 6) == Observation(pytest.approx(0.1), (("2/1/one", 1.0),))
    assert observe(logits, levels, 7).levels == (("2/1/one", 0.0),)


def test_strengths_are_read_as_they_were_saved(tmp_path: Path) -> None:
    assert NgramStrengths.from_folder(tmp_path) is None
    NgramStrengths({"1/1/one": 0.25}).save(tmp_path)
    assert NgramStrengths.from_folder(tmp_path) == NgramStrengths({"1/1/one": 0.25})


@pytest.mark.parametrize("text", ["", "[1]", '{"1/1/one": "x"}', '{"1/1/one": 1.5}', '{"1/1/one": NaN}'])
def test_damaged_strengths_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / STRENGTHS_FILE).write_text(text)
    with pytest.raises(ModelInvalid, match=STRENGTHS_FILE):
        NgramStrengths.from_folder(tmp_path)


def test_other_files_give_only_matches_longer_than_the_documents() -> None:
    document = DocumentNgrams("call_own(1) call_own(", [], encode, ["call_own(2) xcall_own(3) call_other_name(4)"])
    levels = list(document.levels())
    own = [length for length, followers in levels if dict(followers) == {ord("1"): 1}]
    far = [(length, dict(followers)) for length, followers in levels if length not in own]
    assert max(own) == 8
    assert far == []
    document = DocumentNgrams("call_other_name(", [], encode, ["call_own(2) call_other_name(4)"])
    assert [(length, dict(followers)) for length, followers in document.levels()] == [
        (length, {ord("4"): 1}) for length in MATCH_CHARS if 6 < length <= 15
    ]


def test_end_of_another_file_has_no_continuation() -> None:
    assert list(DocumentNgrams("ends with this", [], encode, ["it ends with this"]).levels()) == []
    assert list(DocumentNgrams("ends with this", [], encode, ["it ends with this", "next"]).levels()) == []
