"""The bytes that each token of a tokenizer stands for, also those of tokens that are parts of a character."""

from __future__ import annotations

import re
from collections.abc import Callable

from tokenizers import Tokenizer as HfTokenizer

from starcoder_ls.text_tokens.prefix_index import REPLACEMENT_CHARACTER

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
"""A byte in vocabularies of SentencePiece."""


def read_token_bytes(tokenizer: HfTokenizer, decode: Callable[[int], str], special_ids: set[int]) -> list[bytes]:
    """The bytes of every token by its id; none for special tokens. ``decode`` returns the text of one token.

    A token whose text lacks a character is spelled in the bytes of its kind of vocabulary.
    """
    added = tokenizer.get_added_tokens_decoder()
    found = []
    for id_ in range(tokenizer.get_vocab_size(with_added_tokens=True)):
        literal = tokenizer.id_to_token(id_)
        if id_ in special_ids or literal is None:
            found.append(b"")
            continue
        text = decode(id_)
        is_whole = REPLACEMENT_CHARACTER not in text or id_ in added
        found.append(text.encode() if is_whole else _spelled_bytes(literal))
    return found


def _spelled_bytes(literal: str) -> bytes:
    """The bytes of a token as a vocabulary writes it; none if it does so in another way."""
    if byte := _BYTE_TOKEN.fullmatch(literal):
        return bytes([int(byte[1], 16)])
    try:
        return bytes(_BYTE_OF_CHARACTER[character] for character in literal)
    except KeyError:
        return b""


def _gpt2_bytes() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for: GPT-2's `bytes_to_unicode`, reversed."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}


_BYTE_OF_CHARACTER = _gpt2_bytes()
