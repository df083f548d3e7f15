from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import checkpoints
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.text_tokens import tokenizer_checks
from starcoder_ls.text_tokens.tokenizer import Tokenizer


def added(count: int, content: str = "<x{}>") -> list[dict[str, Any]]:
    options = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": 640 + number, "content": content.format(number), **options} for number in range(count)]


def nested(depth: int, step: str, children: str) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "NFC"}
    for _ in range(depth):
        value = {"type": step, children: [value]}
    return value


def refuse(changes: dict[str, Any], folder: Path) -> str:
    declared = json.loads(checkpoints.byte_level_tokenizer()) | changes
    (folder / "tokenizer.json").write_text(json.dumps(declared))
    with pytest.raises(ModelInvalid) as caught:
        Tokenizer.from_folder(folder)
    return str(caught.value)


@pytest.mark.parametrize("declared", [checkpoints.byte_level_tokenizer(), checkpoints.llama_tokenizer()])
def test_tokenizers_of_the_families_pass(declared: str) -> None:
    assert tokenizer_checks.find_problem(json.loads(declared)) is None


@pytest.mark.parametrize("key", ["normalizer", "pre_tokenizer", "decoder", "post_processor"])
def test_deeply_nested_steps_are_refused(key: str, tmp_path: Path) -> None:
    children = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "decoder": "decoders"}
    step = nested(40, "Sequence", children.get(key, "processors"))
    assert f"nests its `{key}` more than 6 levels deep" in refuse({key: step}, tmp_path)


def test_wide_steps_are_refused(tmp_path: Path) -> None:
    wide = {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 5000}
    assert "values in its `normalizer`" in refuse({"normalizer": wide}, tmp_path)


def test_many_or_malformed_added_tokens_are_refused(tmp_path: Path) -> None:
    assert "adds 300,000 tokens, and 4,096 are the limit" in refuse({"added_tokens": added(300_000)}, tmp_path)
    assert "at most 256 characters" in refuse({"added_tokens": added(1, "x" * 300)}, tmp_path)
    assert "added_tokens" in refuse({"added_tokens": {"a": 1}}, tmp_path)
    assert "not an id" in refuse({"added_tokens": [7]}, tmp_path)


def test_normalizers_that_multiply_a_text_are_refused(tmp_path: Path) -> None:
    double = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    sequence = {"type": "Sequence", "normalizers": [double] * 30}
    assert "more than 16 times as long" in refuse({"normalizer": sequence}, tmp_path)


@pytest.mark.parametrize("text", ["[]", '{"a":' * 100_000, "{", "\xff"])
def test_unreadable_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelInvalid, match=r"tokenizer\.json"):
        Tokenizer.from_folder(tmp_path)


def test_large_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as stream:  # a sparse file
        stream.truncate(tokenizer_checks.MAX_FILE_BYTES + 1)
    with pytest.raises(ModelInvalid, match="are the limit"):
        Tokenizer.from_folder(tmp_path)


def test_added_tokens_without_embeddings_are_left_out(tmp_path: Path) -> None:
    declared = json.loads(checkpoints.byte_level_tokenizer())
    declared["added_tokens"] += added(1, "[PAD]")
    (tmp_path / "tokenizer.json").write_text(json.dumps(declared))
    assert Tokenizer.from_folder(tmp_path).vocabulary_size == 641
    tokenizer = Tokenizer.from_folder(tmp_path, max_tokens=640)
    assert tokenizer.vocabulary_size == 640
    assert "[PAD]" not in tokenizer.special_tokens
    assert max(tokenizer.encode(["a [PAD] b"])) < 640
