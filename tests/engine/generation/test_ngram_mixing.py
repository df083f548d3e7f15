import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.engine.generation.ngram_mixing import (
    FILE,
    MATCH_CHARS,
    DocumentNgrams,
    NgramMixer,
    NgramStrengths,
    Observation,
    fitted,
    observed,
)
from starcoder_ls.errors import ModelInvalid

TEXTS = st.text(alphabet="ab ", max_size=50)


def encode(text: str) -> list[int]:
    """A vocabulary of single characters."""
    return [ord(char) for char in text]


def counted(before: str, after: str, generated: str) -> list[tuple[int, dict[int, int]]]:
    """The levels by the definition: look at every place of the document."""
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
def test_levels_are_what_really_followed_in_the_document(before: str, after: str, generated: str) -> None:
    document = DocumentNgrams(before, [after], encode)
    assert [(length, dict(followers)) for length, followers in document.levels(generated)] == counted(
        before, after, generated
    )


def test_of_many_places_the_nearest_before_the_cursor_are_taken() -> None:
    document = DocumentNgrams("xy1" * 80 + "xy2" * 64 + "xy", ["xy3" * 80], encode)
    (_, followers), *_ = document.levels()
    assert dict(followers) == {ord("2"): 64}


def test_loop_of_the_model_is_no_evidence() -> None:
    assert list(DocumentNgrams("begin ", [], encode).levels("get(x).get(x).get(x)")) == []


def test_word_half_typed_is_completed_by_the_rest_of_it() -> None:
    document = DocumentNgrams("raise NotImplemented\nraise Not", [], lambda text: [len(text.split("\n")[0])])
    lengths = dict(document.levels())
    assert lengths[8] == {len("Implemented"): 1}


def test_mixture_is_a_distribution_that_leans_to_what_followed_before() -> None:
    levels = [(2, {3: 1}), (3, {3: 1})]
    mixed = NgramStrengths({"2/1/one": 0.5, "3/1/one": 0.5}).mix(torch.zeros(12), levels).softmax(-1)
    assert float(mixed.sum()) == pytest.approx(1.0)
    assert float(mixed[3]) == pytest.approx(0.75 + 0.25 / 12)
    assert float(mixed[4]) == pytest.approx(0.25 / 12)


def test_nothing_changes_where_nothing_was_fitted_or_nothing_matches() -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(0))
    for strengths, levels in ((NgramStrengths({}), [(2, {3: 1})]), (NgramStrengths({"2/1/one": 0.9}), [])):
        assert torch.equal(strengths.mix(logits, levels), logits)


def test_each_candidate_is_matched_by_its_own_text_and_half_a_character_by_none() -> None:
    document = DocumentNgrams("ab1 cd2 ", [], encode)
    opinion = NgramMixer(NgramStrengths({"2/1/one": 0.9}), document)
    logits = torch.zeros(3, 128)
    mixed = opinion.mix(logits, ["ab", "cd", None])
    assert mixed.argmax(-1).tolist()[:2] == [ord("1"), ord("2")]
    assert torch.equal(mixed[2], logits[2])


def test_fit_finds_the_share_that_drew_the_data() -> None:
    rng = random.Random(0)
    drawn = [Observation(0.02, (("2/1/one", 1.0 if rng.random() < 0.7 else 0.0),)) for _ in range(4000)]
    assert fitted(drawn).by_evidence["2/1/one"] == pytest.approx(0.7, abs=0.03)


def test_observation_is_what_the_mixture_uses() -> None:
    levels, logits = [(2, {6: 1})], torch.zeros(10)
    assert observed(logits, levels, 6) == Observation(pytest.approx(0.1), (("2/1/one", 1.0),))
    assert observed(logits, levels, 7).levels == (("2/1/one", 0.0),)


def test_strengths_come_back_from_a_checkpoint_folder(tmp_path: Path) -> None:
    assert NgramStrengths.of(tmp_path) is None
    NgramStrengths({"1/1/one": 0.25}).save(tmp_path)
    assert NgramStrengths.of(tmp_path) == NgramStrengths({"1/1/one": 0.25})


@pytest.mark.parametrize("text", ["", "[1]", '{"1/1/one": "x"}', '{"1/1/one": 1.5}', '{"1/1/one": NaN}'])
def test_spoilt_strengths_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ModelInvalid, match=FILE):
        NgramStrengths.of(tmp_path)


def test_other_files_are_asked_only_about_longer_matches_than_the_documents_own() -> None:
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


def test_the_end_of_other_files_has_no_continuation() -> None:
    assert list(DocumentNgrams("ends with this", [], encode, ["it ends with this"]).levels()) == []
    assert list(DocumentNgrams("ends with this", [], encode, ["it ends with this", "next"]).levels()) == []
