from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpoints
import starcoder_ls
from starcoder_ls.errors import ModelInvalid, ModelUnsupported
from starcoder_ls.generation import SpecialToken
from starcoder_ls.text_tokens.tokenizer import MAX_CACHED_HEADS, MAX_CACHED_PART_CHARS, MAX_CACHED_PARTS, Tokenizer

SMALL = Tokenizer(checkpoints.byte_level_tokenizer())
LLAMA = Tokenizer(checkpoints.llama_tokenizer())
BUNDLED = Tokenizer.from_folder(Path(starcoder_ls.__file__).parent / "bundled")
EMOJI = "x = '👩‍👩‍👧 naïve — 漢字' # 🙂🙂\n\t\xa0é"


def decode_incrementally(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """Return what each token adds to the text."""
    state, added = tokenizer.initial_state(), []
    for id_ in ids:
        after = tokenizer.append_token(state, id_)
        added.append(after.text[len(state.text) :])
        assert after.text.startswith(state.text)
        state = after
    return added


@pytest.mark.parametrize("literal", checkpoints.STARCODER)
def test_special_literal_in_document_stays_text(literal: str) -> None:
    ids = SMALL.encode([f"a{literal}b {literal}"])
    assert not set(ids) & set(range(len(checkpoints.STARCODER)))
    assert SMALL.decode(ids) == f"a{literal}b {literal}"


@pytest.mark.parametrize(("id_", "literal"), list(enumerate(checkpoints.STARCODER)))
def test_special_part_encodes_to_its_id(id_: int, literal: str) -> None:
    assert SMALL.encode(["a", SpecialToken(literal), "b"]) == [*SMALL.encode(["a"]), id_, *SMALL.encode(["b"])]
    assert literal in SMALL.special_tokens


def test_missing_special_token_raises() -> None:
    with pytest.raises(ModelUnsupported, match=r"no token <fim-prefix>\. Choose"):
        SMALL.encode([SpecialToken("<fim-prefix>")])


def test_ordinary_token_is_not_special() -> None:
    with pytest.raises(ModelUnsupported):
        SMALL.encode([SpecialToken("def")])


def test_bracketed_added_tokens_are_special_and_letters_are_not() -> None:
    """Qwen2.5-Coder and DeepSeek-Coder declare such tokens."""
    declared = json.loads(checkpoints.byte_level_tokenizer())
    attributes = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    declared["added_tokens"] += [
        {"id": 640, "content": "<|fim_begin|>"} | attributes,
        {"id": 641, "content": "㋡"} | attributes,
    ]
    tokenizer = Tokenizer(json.dumps(declared))
    assert tokenizer.encode([SpecialToken("<|fim_begin|>")]) == [640]
    assert 640 not in tokenizer.encode(["<|fim_begin|>"])
    assert "㋡" not in tokenizer.special_tokens
    assert 641 in tokenizer.encode(["a㋡b"])


def test_special_tokens_decode_to_nothing() -> None:
    assert SMALL.decode([1, *SMALL.encode(["a"]), 2]) == "a"


@pytest.mark.parametrize(("tokenizer", "first_space"), [(SMALL, ""), (LLAMA, " ")], ids=["byte-level", "llama"])
def test_split_characters_are_decoded_whole(tokenizer: Tokenizer, first_space: str) -> None:
    ids = tokenizer.encode([EMOJI])
    added = decode_incrementally(tokenizer, ids)
    assert "" in added, "no character of this text is split, so the test would prove nothing"
    assert not any("\ufffd" in text for text in added)
    assert "".join(added) == tokenizer.decode(ids) == first_space + EMOJI


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 639), max_size=40))
def test_incremental_decoding_agrees_with_decode(ids: list[int]) -> None:
    incremental = "".join(decode_incrementally(SMALL, ids))
    decoded = SMALL.decode(ids)
    assert decoded.startswith(incremental)
    assert not decoded[len(incremental) :].strip("\ufffd"), "only an incomplete character may be missing at the end"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_survives_encode_and_decode(text: str) -> None:
    assert SMALL.decode(SMALL.encode([text])) == text


def test_llama_decoding_preserves_first_space() -> None:
    ids = LLAMA.encode(["def"])  # ▁def, as a model generates it after other words
    assert decode_incrementally(LLAMA, ids) == [" def"]


def test_lone_surrogate_is_encoded_as_replacement_character() -> None:
    assert SMALL.count_tokens("a\ud83dz") == SMALL.count_tokens("a\ufffdz")


def test_count_tokens_returns_number_of_ids() -> None:
    assert SMALL.count_tokens(EMOJI) == len(SMALL.encode([EMOJI]))
    assert SMALL.count_tokens("") == 0


def test_concurrent_encoding_is_deterministic() -> None:
    expected = SMALL.encode([EMOJI])
    different: list[object] = []

    def encode() -> None:
        different.extend(ids for _ in range(100) if (ids := SMALL.encode([EMOJI])) != expected)

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not different


@pytest.mark.parametrize("text", ["", "{", "{}", '{"added_tokens": [{"id": 1}]}'])
def test_unreadable_tokenizer_raises_model_invalid(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelInvalid, match=r"tokenizer\.json is not (a readable tokenizer|readable JSON)"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": "x"}}, "index out of bounds"),
        ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "chunk size"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "u"}}, "Missing .UNK."),
        ({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": None}}, "unknown token"),
    ],
)
def test_tokenizer_that_panics_or_fails_at_a_text_is_invalid(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    declared = json.loads(checkpoints.byte_level_tokenizer()) | change | {"added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(declared))
    with pytest.raises(ModelInvalid, match=rf"is not a readable tokenizer: .*{message}"):
        Tokenizer.from_folder(tmp_path)


def test_panic_at_a_text_is_an_error_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """As the library's class, which cannot be imported."""

    class BrokenLibrary:
        def encode(self, *_: object, **__: object) -> None:
            raise PanicException

    tokenizer = Tokenizer(checkpoints.byte_level_tokenizer())
    monkeypatch.setattr(tokenizer, "_tokenizer", BrokenLibrary())
    with pytest.raises(ModelInvalid, match="cannot encode this text"):
        tokenizer.encode(["a new text"])


def test_special_token_with_the_id_of_another_token_is_refused() -> None:
    declared = json.loads(checkpoints.byte_level_tokenizer())
    vocabulary = declared["model"]["vocab"]
    special = next(token for token in declared["added_tokens"] if token["special"])
    word = next(token for token in vocabulary if token not in {token["content"] for token in declared["added_tokens"]})
    vocabulary.pop(special["content"], None)
    vocabulary[word] = special["id"]
    with pytest.raises(ModelUnsupported, match="the id of a control token"):
        Tokenizer(json.dumps(declared))


CHARACTERS = "ab1_ ();:'\"#é字🙂\n\n\n\t\r\f\x1c\x85\xa0\u2028\ud83d"
FRAGMENTS = st.sampled_from([*CHARACTERS, "\n\n    ", "'s", "\r\n", "<fim_prefix>", "return x\n", "  \n", " \n\n "])
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 6), st.lists(FRAGMENTS, max_size=6).map("".join)), max_size=6
)


@given(st.lists(FRAGMENTS, min_size=200, max_size=500).map("".join), EDITS)
@settings(max_examples=40, deadline=None)
def test_cached_heads_never_change_ids_of_edited_text(text: str, edits: list[tuple[float, int, str]]) -> None:
    for position, deleted, typed in edits:
        assert BUNDLED.encode([text]) == list(BUNDLED._encode_text(text))
        start = int(position * len(text))
        text = text[:start] + typed + text[start + deleted :]
    assert BUNDLED.encode([text]) == list(BUNDLED._encode_text(text))


def typed_texts(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield beginnings of this file, a few characters longer each time; all are encoded as without the cache."""
    whole = Path(__file__).read_text(encoding="utf-8")
    for end in range(2000, 4000, 7):
        assert tokenizer.encode([whole[:end]]) == list(tokenizer._encode_text(whole[:end]))
        yield whole[:end]


@pytest.mark.parametrize("tokenizer", [SMALL, LLAMA, BUNDLED], ids=["small", "llama", "bundled"])
def test_cached_heads_never_change_ids_of_typed_text(tokenizer: Tokenizer) -> None:
    assert len(list(typed_texts(tokenizer))) > 200


def test_only_text_after_cached_head_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, encoded = Tokenizer(checkpoints.byte_level_tokenizer()), list[int]()
    exact = tokenizer._encode_text
    monkeypatch.setattr(tokenizer, "_encode_text", lambda text: encoded.append(len(text)) or exact(text))
    head = "    return value\n" * 50
    for line in ("x", "x =", "x = 1\ny"):
        tokenizer.encode([head + line])
    assert encoded[0] > 700
    assert max(encoded[1:]) < 20


def test_heads_are_not_cached_if_words_can_span_newlines() -> None:
    declared = json.loads(checkpoints.byte_level_tokenizer())
    assert Tokenizer(json.dumps(declared))._splits_at_newlines
    assert not LLAMA._splits_at_newlines
    for change in (
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}},
    ):
        assert not Tokenizer(json.dumps(declared | change))._splits_at_newlines
    declared["added_tokens"].append(declared["added_tokens"][0] | {"id": 4000, "content": "x\ny", "special": False})
    assert not Tokenizer(json.dumps(declared))._splits_at_newlines


@pytest.mark.parametrize("name", ["starcoder-tokenizer.json", "starcoder2-tokenizer.json"])
def test_cached_heads_never_change_ids_in_real_tokenizers(name: str) -> None:
    tokenizer = load_real(name)
    assert tokenizer._splits_at_newlines
    assert len(list(typed_texts(tokenizer))) > 200


def load_real(name: str) -> Tokenizer:
    folder = Path(os.environ.get("STARCODER_LS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    file = folder / "tokenizers" / name
    if not file.is_file():
        pytest.skip(f"{file} is missing; set STARCODER_LS_TEST_DATA")
    return Tokenizer(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["starcoder-tokenizer.json", "starcoder2-tokenizer.json"])
def test_real_special_literals_in_text_stay_text(name: str) -> None:
    tokenizer = load_real(name)
    special_ids = {tokenizer.special_token_id(SpecialToken(literal)) for literal in tokenizer.special_tokens}
    assert len(special_ids) >= 19
    for literal in tokenizer.special_tokens:
        text = f"{literal}x{literal}\n {literal}"
        ids = tokenizer.encode([text])
        assert not special_ids & set(ids), literal
        assert tokenizer.decode(ids) == text


def test_real_tokenizer_agrees_with_published_ids() -> None:
    """The ids are those of llama.cpp's test of StarCoder's tokenizer."""
    ids = [589, 1459, 81, 7656, 81, 5860, 2262]
    assert load_real("starcoder-tokenizer.json").encode(["def print_hello_world():"]) == ids


@pytest.mark.parametrize("forced_prefix", [" ", " ret", "se", "\n    "])
def test_prefix_compatible_ids_are_beginnings_and_continuations(forced_prefix: str) -> None:
    tokenizer = SMALL
    special = {tokenizer.special_token_id(SpecialToken(literal)) for literal in tokenizer.special_tokens}
    texts = {id_: tokenizer.decode([id_]) for id_ in range(tokenizer.vocabulary_size) if id_ not in special}
    compatible = tokenizer.prefix_compatible_ids(forced_prefix.encode())
    assert len(compatible) == len(set(compatible)) > 0
    assert set(compatible) == {
        id_
        for id_, text in texts.items()
        if text and (text.startswith(forced_prefix) or forced_prefix.startswith(text))
    }


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=6), st.data())
def test_any_choice_of_compatible_tokens_makes_the_forced_prefix(forced_prefix: str, data: st.DataObject) -> None:
    for tokenizer in (SMALL, BUNDLED, LLAMA):
        state = tokenizer.initial_state()
        while remaining := tokenizer.remaining_prefix(state, forced_prefix):
            state = tokenizer.append_token(
                state, data.draw(st.sampled_from(tokenizer.prefix_compatible_ids(remaining)))
            )
        for id_ in tokenizer.encode(["x"]):  # a character that a token has begun becomes text
            state = tokenizer.append_token(state, id_)
        assert state.text.startswith(forced_prefix)


def test_lone_surrogate_is_forced_as_it_is_encoded() -> None:
    state = SMALL.initial_state()
    for id_ in SMALL.encode(["a\ud800b"]):
        assert id_ in SMALL.prefix_compatible_ids(SMALL.remaining_prefix(state, "a\ud800b"))
        state = SMALL.append_token(state, id_)
    assert SMALL.remaining_prefix(state, "a\ud800b") == b""


def test_first_token_id_is_correct_and_cached() -> None:
    tokenizer = Tokenizer(checkpoints.byte_level_tokenizer())
    for text in ("return x", "def f", "<|endoftext|> as text", "return y"):
        assert tokenizer.first_token_id(text) == tokenizer.encode([text])[0]
    assert tokenizer._first_token_id.cache_info().hits == 1


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*" \n\t\r\x0b\x1c\xa0'\"_.(<é漢9aZ", "'s", "'re", "  ", "self", "don't", "<fim_prefix>"]))
)
def test_first_token_id_agrees_with_encode_for_any_text(parts: list[str]) -> None:
    text = "".join(parts)
    for tokenizer in (SMALL, BUNDLED, LLAMA):
        if text:
            assert tokenizer.first_token_id(text) == tokenizer.encode([text])[0]


def test_text_tokens_import_no_torch() -> None:
    """In a process of its own: the tests have imported torch."""
    script = "import sys; from starcoder_ls.text_tokens import candidate, tokenizer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_pinned_tokenizer_is_read_only_if_its_checksum_matches(tmp_path: Path) -> None:
    source = Path(starcoder_ls.__file__).parent / "bundled" / "tokenizer.json"
    file = tmp_path / "tokenizer.json"
    file.write_bytes(source.read_bytes())
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    pinned = Tokenizer.from_folder(tmp_path, sha256=digest.upper())
    assert pinned.encode(["def f(x):"]) == BUNDLED.encode(["def f(x):"])
    file.write_bytes(source.read_bytes() + b"\n")
    with pytest.raises(ModelInvalid, match="has the SHA-256"):
        Tokenizer.from_folder(tmp_path, sha256=digest)


@pytest.mark.parametrize("tokenizer", [BUNDLED, SMALL, LLAMA])
@pytest.mark.parametrize("characters", ["😀", "漢字仮名", "\U0001f9d1\u200d\U0001f680", "e\u030c", "q", "x=1\n"])
def test_cached_ids_take_at_most_120_megabytes(tokenizer: Tokenizer, characters: str) -> None:
    text = (characters * MAX_CACHED_PART_CHARS)[:MAX_CACHED_PART_CHARS]
    tracemalloc.start()
    try:
        tokenizer.encode([text])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept * (MAX_CACHED_PARTS + MAX_CACHED_HEADS) < 120e6
