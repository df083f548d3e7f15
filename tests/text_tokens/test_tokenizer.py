from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpoints
import starcoder_ls
from starcoder_ls.errors import ModelInvalid, ModelUnsupported
from starcoder_ls.generation import SpecialToken
from starcoder_ls.text_tokens.tokenizer import Tokenizer

SMALL = Tokenizer(checkpoints.byte_level_tokenizer())
LLAMA = Tokenizer(checkpoints.llama_tokenizer())
BUNDLED = Tokenizer.of(Path(starcoder_ls.__file__).parent / "bundled")
EMOJI = "x = '👩‍👩‍👧 naïve — 漢字' # 🙂🙂\n\t\xa0é"


def pieces(vocabulary: Tokenizer, ids: Sequence[int]) -> list[str]:
    """What each token adds to the text."""
    decoded, added = vocabulary.start(), []
    for id_ in ids:
        after = vocabulary.extended(decoded, id_)
        added.append(after.text[len(decoded.text) :])
        assert after.text.startswith(decoded.text)
        decoded = after
    return added


@pytest.mark.parametrize("literal", checkpoints.STARCODER)
def test_special_literal_in_a_document_stays_text(literal: str) -> None:
    ids = SMALL.encode([f"a{literal}b {literal}"])
    assert not set(ids) & set(range(len(checkpoints.STARCODER)))
    assert SMALL.decode(ids) == f"a{literal}b {literal}"


@pytest.mark.parametrize(("id_", "literal"), list(enumerate(checkpoints.STARCODER)))
def test_special_part_is_its_one_id(id_: int, literal: str) -> None:
    assert SMALL.encode(["a", SpecialToken(literal), "b"]) == [*SMALL.encode(["a"]), id_, *SMALL.encode(["b"])]
    assert literal in SMALL.special_literals


def test_special_token_that_the_model_lacks_is_an_error() -> None:
    with pytest.raises(ModelUnsupported, match=r"no token <fim-prefix>\. Choose"):
        SMALL.encode([SpecialToken("<fim-prefix>")])


def test_ordinary_token_is_not_special() -> None:
    with pytest.raises(ModelUnsupported):
        SMALL.encode([SpecialToken("def")])


def test_markers_that_their_tokenizer_calls_ordinary_are_special_and_letters_are_not() -> None:
    """Qwen2.5-Coder and DeepSeek-Coder declare such tokens."""
    declared = json.loads(checkpoints.byte_level_tokenizer())
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    declared["added_tokens"] += [{"id": 640, "content": "<|fim_begin|>"} | plain, {"id": 641, "content": "㋡"} | plain]
    vocabulary = Tokenizer(json.dumps(declared))
    assert vocabulary.encode([SpecialToken("<|fim_begin|>")]) == [640]
    assert 640 not in vocabulary.encode(["<|fim_begin|>"])
    assert "㋡" not in vocabulary.special_literals
    assert 641 in vocabulary.encode(["a㋡b"])


def test_special_tokens_have_no_text() -> None:
    assert SMALL.decode([1, *SMALL.encode(["a"]), 2]) == "a"


@pytest.mark.parametrize(("vocabulary", "lead"), [(SMALL, ""), (LLAMA, " ")], ids=["byte-level", "llama"])
def test_characters_split_over_tokens_appear_whole(vocabulary: Tokenizer, lead: str) -> None:
    ids = vocabulary.encode([EMOJI])
    added = pieces(vocabulary, ids)
    assert "" in added, "no character of this text is split: the test shows nothing"
    assert not any("\ufffd" in piece for piece in added)
    assert "".join(added) == vocabulary.decode(ids) == lead + EMOJI


@settings(max_examples=200)
@given(st.lists(st.integers(0, 639), max_size=40))
def test_pieces_join_to_the_decoded_text(ids: list[int]) -> None:
    joined = "".join(pieces(SMALL, ids))
    whole = SMALL.decode(ids)
    assert whole.startswith(joined)
    assert not whole[len(joined) :].strip("\ufffd"), "only an unfinished character may be missing at the end"


@settings(max_examples=200)
@given(st.text())
def test_any_text_survives_the_round_trip(text: str) -> None:
    assert SMALL.decode(SMALL.encode([text])) == text


def test_first_space_of_a_llama_text_is_kept() -> None:
    ids = LLAMA.encode(["def"])  # ▁def, as a model writes it behind other words
    assert pieces(LLAMA, ids) == [" def"]


def test_lone_surrogate_from_an_editor_does_not_fail() -> None:
    assert SMALL.count("a\ud83dz") == SMALL.count("a\ufffdz")


def test_count_is_the_number_of_ids() -> None:
    assert SMALL.count(EMOJI) == len(SMALL.encode([EMOJI]))
    assert SMALL.count("") == 0


def test_threads_may_share_a_vocabulary() -> None:
    expected = SMALL.encode([EMOJI])
    wrong: list[object] = []

    def encode() -> None:
        wrong.extend(ids for _ in range(100) if (ids := SMALL.encode([EMOJI])) != expected)

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("text", ["", "{", "{}", '{"added_tokens": [{"id": 1}]}'])
def test_unreadable_tokenizer_is_invalid(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelInvalid, match=r"tokenizer\.json is not a readable tokenizer"):
        Tokenizer.of(tmp_path)


SIGNS = "ab1_ ();:'\"#é字🙂\n\n\n\t\r\f\x1c\x85\xa0\u2028\ud83d"
BITS = st.sampled_from([*SIGNS, "\n\n    ", "'s", "\r\n", "<fim_prefix>", "return x\n", "  \n", " \n\n "])
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.lists(BITS, max_size=6).map("".join)), max_size=6)


@given(st.lists(BITS, min_size=200, max_size=500).map("".join), EDITS)
@settings(deadline=None)
def test_what_is_known_of_a_text_never_changes_its_tokens(text: str, edits: list[tuple[float, int, str]]) -> None:
    for where, gone, typed in edits:
        assert BUNDLED.encode([text]) == list(BUNDLED._encoded(text))
        at = int(where * len(text))
        text = text[:at] + typed + text[at + gone :]
    assert BUNDLED.encode([text]) == list(BUNDLED._encoded(text))


def typed(vocabulary: Tokenizer) -> Iterator[str]:
    """This file, from its middle on, a few characters at a time; each is encoded as it would be afresh."""
    whole = Path(__file__).read_text(encoding="utf-8")
    for end in range(len(whole) // 2, len(whole), 7):
        assert vocabulary.encode([whole[:end]]) == list(vocabulary._encoded(whole[:end]))
        yield whole[:end]


@pytest.mark.parametrize("vocabulary", [SMALL, LLAMA, BUNDLED], ids=["small", "llama", "bundled"])
def test_a_text_that_is_typed_has_the_tokens_of_the_text(vocabulary: Tokenizer) -> None:
    assert len(list(typed(vocabulary))) > 200


def test_only_what_is_new_of_a_text_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary, encoded = Tokenizer(checkpoints.byte_level_tokenizer()), list[int]()
    afresh = vocabulary._encoded
    monkeypatch.setattr(vocabulary, "_encoded", lambda text: encoded.append(len(text)) or afresh(text))
    before = "    return value\n" * 50
    for line in ("x", "x =", "x = 1\ny"):
        vocabulary.encode([before + line])
    assert encoded[0] > 700
    assert max(encoded[1:]) < 20


def test_where_words_may_go_on_over_a_line_end_texts_are_encoded_whole() -> None:
    declared = json.loads(checkpoints.byte_level_tokenizer())
    assert Tokenizer(json.dumps(declared))._has_line_ends
    assert not LLAMA._has_line_ends
    for change in (
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}},
    ):
        assert not Tokenizer(json.dumps(declared | change))._has_line_ends
    declared["added_tokens"].append(declared["added_tokens"][0] | {"id": 4000, "content": "x\ny", "special": False})
    assert not Tokenizer(json.dumps(declared))._has_line_ends


@pytest.mark.parametrize("name", ["starcoder-tokenizer.json", "starcoder2-tokenizer.json"])
def test_a_text_that_is_typed_has_the_tokens_of_the_text_in_real_vocabularies(name: str) -> None:
    vocabulary = real(name)
    assert vocabulary._has_line_ends
    assert len(list(typed(vocabulary))) > 200


def real(name: str) -> Tokenizer:
    folder = Path(os.environ.get("STARCODER_LS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    file = folder / "tokenizers" / name
    if not file.is_file():
        pytest.skip(f"{file} is missing; set STARCODER_LS_TEST_DATA")
    return Tokenizer(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["starcoder-tokenizer.json", "starcoder2-tokenizer.json"])
def test_no_literal_of_the_real_vocabulary_becomes_a_special_token(name: str) -> None:
    vocabulary = real(name)
    special_ids = {vocabulary.id_of(SpecialToken(literal)) for literal in vocabulary.special_literals}
    assert len(special_ids) >= 19
    for literal in vocabulary.special_literals:
        text = f"{literal}x{literal}\n {literal}"
        ids = vocabulary.encode([text])
        assert not special_ids & set(ids), literal
        assert vocabulary.decode(ids) == text


def test_real_vocabulary_agrees_with_published_ids() -> None:
    """The vector is llama.cpp's, for StarCoder's own tokenizer."""
    ids = [589, 1459, 81, 7656, 81, 5860, 2262]
    assert real("starcoder-tokenizer.json").encode(["def print_hello_world():"]) == ids


@pytest.mark.parametrize("forced_prefix", [" ", " ret", "se", "\n    "])
def test_the_tokens_able_to_begin_a_text_are_exactly_its_beginnings_and_continuations(
    starcoder: Path, forced_prefix: str
) -> None:
    vocabulary = Tokenizer.of(starcoder)
    special = {vocabulary.id_of(SpecialToken(literal)) for literal in vocabulary.special_literals}
    texts = {id_: vocabulary.decode([id_]) for id_ in range(vocabulary.size) if id_ not in special}
    able = vocabulary.able_to_begin(forced_prefix)
    assert len(able) == len(set(able)) > 0
    assert set(able) == {
        id_
        for id_, text in texts.items()
        if text and (text.startswith(forced_prefix) or forced_prefix.startswith(text))
    }


def test_first_token_of_a_text_is_remembered_and_right() -> None:
    vocabulary = Tokenizer(checkpoints.byte_level_tokenizer())
    for text in ("return x", "def f", "<|endoftext|> as text", "return y"):
        assert vocabulary.first_of(text) == vocabulary.encode([text])[0]
    assert vocabulary._first_of.cache_info().hits == 1


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from([*" \n\t\r\x0b\x1c\xa0'\"_.(<é漢9aZ", "'s", "'re", "  ", "self", "don't", "<fim_prefix>"]))
)
def test_first_token_does_not_depend_on_how_much_of_the_text_is_looked_at(parts: list[str]) -> None:
    text = "".join(parts)
    for vocabulary in (SMALL, BUNDLED, LLAMA):
        if text:
            assert vocabulary.first_of(text) == vocabulary.encode([text])[0]
