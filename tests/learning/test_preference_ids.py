from __future__ import annotations

from pathlib import Path

import pytest

import starcoder_ls
from starcoder_ls.generation import SpecialToken
from starcoder_ls.learning.preference_ids import PreferenceTokenizer
from starcoder_ls.learning.preference_selection import JudgedSuggestion, PreferencePair
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(BUNDLED)


def pair(prefix: str, chosen: str, rejected: str = "other()", suffix: str = "\nend\n") -> PreferencePair:
    return PreferencePair(prefix, suffix, chosen, rejected, "hash", 0.5)


def test_prompt_is_in_the_order_of_the_family(tokenizer: Tokenizer) -> None:
    ids = PreferenceTokenizer(tokenizer).pair(pair("x = (", "one)"))
    assert ids is not None
    marks = [SpecialToken(f"<fim_{name}>") for name in ("prefix", "suffix", "middle")]
    assert ids.prompt == tuple(tokenizer.encode([marks[0], marks[1], "\nend\n", marks[2], "x = ("]))
    assert ids.chosen == tuple(tokenizer.encode(["one)"]))
    assert ids.group == "hash"


def test_completion_begins_with_the_half_typed_word(tokenizer: Tokenizer) -> None:
    ids = PreferenceTokenizer(tokenizer).pair(pair("x = re", "sult()"))
    assert ids is not None
    assert tokenizer.decode(ids.chosen) == " result()"
    assert tokenizer.decode(ids.prompt).endswith("x =")


def test_special_tokens_in_the_users_code_stay_text(tokenizer: Tokenizer) -> None:
    text = "<fim_middle><|endoftext|>"
    ids = PreferenceTokenizer(tokenizer).pair(pair(f"a = '{text}'\nx = (", f"'{text}')"))
    assert ids is not None
    special = {tokenizer.special_token_id(SpecialToken(literal)) for literal in tokenizer.special_tokens}
    assert not special & set(ids.chosen)
    assert sum(id_ in special for id_ in ids.prompt) == 3
    assert tokenizer.decode(ids.chosen) == f"'{text}')"


def test_long_texts_are_cut_to_the_prompt_and_the_completion(tokenizer: Tokenizer) -> None:
    tokenize = PreferenceTokenizer(tokenizer, prompt_tokens=100, completion_tokens=8)
    prefix, suffix = "".join(f"name_{number} = {number}\n" for number in range(300)), "\nend = 1" * 300
    ids = tokenize.pair(pair(prefix, "a(b)" * 20, suffix=suffix))
    assert ids is not None
    assert 50 < len(ids.prompt) <= 103
    assert tokenizer.decode(ids.prompt).endswith("name_299 = 299\n")
    assert len(ids.chosen) == 8


def test_pair_that_differs_behind_the_cut_is_left_out(tokenizer: Tokenizer) -> None:
    tokenize = PreferenceTokenizer(tokenizer, completion_tokens=2)
    assert tokenize.pair(pair("x = (", "one, two, three", "one, two, four")) is None


def test_judged_suggestion_keeps_its_judgement(tokenizer: Tokenizer) -> None:
    ids = PreferenceTokenizer(tokenizer).judged(JudgedSuggestion("x = (", "\n", "a,\r\nb)", True, "hash"))
    assert (ids.is_desirable, ids.group) == (True, "hash")
    assert tokenizer.decode(ids.completion) == "a,\nb)"
