from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.engine.generation import compiled_ngrams
from starcoder_ls.engine.generation.compiled_ngrams import CompiledNgramMixer, CompiledNgrams, SearchedTexts
from starcoder_ls.engine.generation.ngram_mixing import (
    MATCH_CHARS,
    MAX_COUNT,
    DocumentNgrams,
    NgramMixer,
    NgramStrengths,
)
from starcoder_ls.engine.logits import Logits, select_greedy

TEXTS = st.text(alphabet="ab \x00", max_size=60)
VOCABULARY = 128 + 7  # not a multiple of a vector


def encode(text: str) -> list[int]:
    """A vocabulary of single characters."""
    return [ord(char) for char in text]


def strengths() -> NgramStrengths:
    """Another strength for each kind of match; none for some."""
    kinds = [(length, count, kind) for length in MATCH_CHARS for count in range(1, MAX_COUNT + 1) for kind in "om"]
    names = {"o": "one", "m": "many"}
    return NgramStrengths(
        {f"{length}/{count}/{names[kind]}": (7 * n % 10) / 10 for n, (length, count, kind) in enumerate(kinds)}
    )


def both(
    before: str, others: list[str], files: list[str], generated: list[str | None], texts: SearchedTexts | None = None
) -> tuple[Logits, Logits]:
    """The mixture by the definition and by the kernels, of random logits for each of ``generated``."""
    logits = torch.randn(len(generated), VOCABULARY, generator=torch.Generator().manual_seed(len(before))) * 3
    plain = NgramMixer(strengths(), DocumentNgrams(before, others, encode, files)).mix(Logits(logits), generated)
    compiled = CompiledNgrams(strengths(), encode)
    compiled.texts = compiled.texts if texts is None else texts
    return plain, CompiledNgramMixer(compiled, before, others, files).mix(Logits(logits), generated)


def assert_equal(plain: Logits, mixed: Logits) -> None:
    torch.testing.assert_close(mixed.values, plain.values, rtol=1e-5, atol=1e-5)
    for token, expected in zip(mixed.greedy(), select_greedy(mixed.values), strict=True):
        assert token.id == expected.id
        assert token.logprob == pytest.approx(expected.logprob, abs=1e-4)


@given(TEXTS, TEXTS, TEXTS, st.text(alphabet="ab ", max_size=8))
def test_kernels_compute_the_mixture_of_the_definition(before: str, after: str, file: str, generated: str) -> None:
    assert_equal(*both(before, [after], [file] if file else [], [generated, None, ""]))


def test_rare_pairs_are_found_at_every_offset_of_a_block() -> None:
    """Of long texts whole blocks are skipped that lack the last two characters of the match."""
    text = "".join("xyzuvw"[number % 6] for number in range(130))
    for at in (0, 1, 2, 63, 64, 65, 66, 67, 127, 128, 129, 130):
        before = text[:at] + "abdec" + text[at:]
        plain, mixed = both(before, [], [before], ["abde", "abdx"])
        assert_equal(plain, mixed)
        assert mixed.values[0, ord("c")] > mixed.values[1, ord("c")]


def test_only_the_last_occurrences_count_at_every_length() -> None:
    before = "call(xy1) " * 80 + "call(xy2) " * 60 + "call(xy"
    assert_equal(*both(before, ["call(xy3) " * 90], [], [""]))


def test_characters_beyond_the_basic_plane_and_surrogates_are_matched() -> None:
    assert_equal(*both("\ud800é😀a é😀b é😀", [], ["é😀é😀é😀c"], [""]))


def test_tokens_of_an_earlier_text_are_looked_up_once() -> None:
    texts, looked_up = SearchedTexts(), []
    ngrams = CompiledNgrams(strengths(), lambda text: looked_up.append(text) or encode(text))
    ngrams.texts = texts
    before = "value = call(argument)\n" * 20
    for typed in ("value = ", "value = c", "value = ca"):
        CompiledNgramMixer(ngrams, before + typed, ["other"]).mix(Logits(torch.zeros(1, VOCABULARY)), [""])
    first = len(looked_up)
    CompiledNgramMixer(ngrams, before + "value = ", ["other"]).mix(Logits(torch.zeros(1, VOCABULARY)), [""])
    assert 0 < len(looked_up) - first < 10 < first


def test_tokens_are_not_reused_where_the_next_text_differs() -> None:
    texts = SearchedTexts()
    for before in ("ab1 " * 30 + "ab", "ab1 " * 29 + "ab2 ab", "ab1 " * 10 + "ab2 " * 20 + "ab", "b1 " * 40 + "ab"):
        assert_equal(*both(before, [], [], [""], texts))


def test_kernels_are_compiled_before_the_first_request() -> None:
    from starcoder_ls.engine.runner.kernels import ngrams

    compiled_ngrams.compile_kernels(16)
    signatures = [len(kernel.signatures) for kernel in (ngrams.find_matches, ngrams.add_levels, ngrams.mix)]  # type: ignore[attr-defined]
    both("begin, begin", ["x"], ["begin again"], ["b", None])
    assert signatures == [len(kernel.signatures) for kernel in (ngrams.find_matches, ngrams.add_levels, ngrams.mix)]  # type: ignore[attr-defined]
