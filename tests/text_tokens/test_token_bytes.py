from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints
import starcoder_ls
from starcoder_ls.generation import SpecialToken
from starcoder_ls.text_tokens.token_bytes import read_token_bytes
from starcoder_ls.text_tokens.tokenizer import Tokenizer

TOKENIZERS = {
    "byte level": Tokenizer(checkpoints.byte_level_tokenizer()),
    "byte fallback": Tokenizer(checkpoints.llama_tokenizer()),
    "bundled": Tokenizer.from_folder(Path(starcoder_ls.__file__).parent / "bundled"),
}
TEXT = "x = '👩‍👩‍👧 naïve — 漢字' # 🙂🙂\n\t\xa0é \ufffd"


def bytes_of(tokenizer: Tokenizer) -> list[bytes]:
    special_ids = {tokenizer.special_token_id(SpecialToken(literal)) for literal in tokenizer.special_tokens}
    return read_token_bytes(tokenizer._tokenizer, lambda id_: tokenizer.decode([id_]), special_ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_bytes_of_tokens_together_are_those_of_the_text(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    token_bytes = bytes_of(tokenizer)
    made = b"".join(token_bytes[id_] for id_ in tokenizer.encode([TEXT]))
    assert made.removeprefix(b" ") == TEXT.encode()  # Llama's adds a space


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_byte_of_utf8_has_a_token_of_its_own(name: str) -> None:
    alone = {data for data in bytes_of(TOKENIZERS[name]) if len(data) == 1}
    assert {bytes([byte]) for byte in (*range(0xC0), *range(0xC2, 0xF5))} <= alone


def test_special_tokens_have_no_bytes() -> None:
    tokenizer = TOKENIZERS["byte level"]
    token_bytes = bytes_of(tokenizer)
    assert {token_bytes[tokenizer.special_token_id(SpecialToken(name))] for name in tokenizer.special_tokens} == {b""}
