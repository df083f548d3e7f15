"""Masking of secrets: lengths, lines and all other characters stay; a part of a text is masked like the whole."""

from __future__ import annotations

import zlib

from fuzz.input_bytes import InputReader, decode_text, join_fields, split_fields
from starcoder_ls.context import secrets

MAX_BYTES = 600
LONG_CHARS = 40_000
COMPARED_CHARS = 64
INPUTS_PER_LONG_TEXT = 64
"""By their checksum: a long text takes 40 ms, and a fuzzer that could choose it would repeat it."""

_KEY = "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEAx3fYlQm1T7Rk0\n  b9Zq2LwXc8VvN4Hs6Jd1\n-----END PRIVATE KEY-----\n"
SEEDS = (
    join_fields(b"", 'password = "aB3#kd92mZ"\napi_key: 8f14e45fceea167a5a36dedd4bea2543\n75'),
    join_fields(b"\2\x30", "x = 1\n" + _KEY + "y = 2"),
    join_fields(b"\5\x20", "curl -u admin:hunter2x https://a.b/\r\nAuthorization: Bearer abc.DEF-123456789012\r\n"),
    join_fields(b"\1\x15", "postgres://user:s3cr3tPw@db.example/x\nAKIA" + "ABCDEFGH12345678"),
    join_fields(b"", "hf_" + "a1B2" * 10 + " " + "gh" + "p_" + "Zz09" * 9),
    join_fields(b"", "KEY=" * 10 + "$ANSIBLE_VAULT;1.1;AES256\n3132333435363738393031323334353637383930\n"),
    join_fields(b"", "<password>geh3im!x</password> SECRET_KEY='x1y2z3a4b5c6' # pass: 'letmein'\u2028é漢😀"),
)


def check(data: bytes) -> None:
    options, raw_text = split_fields(data, 2)
    reader = InputReader(options)
    text = decode_text(raw_text)
    if text and is_checked_as_long_text(data):
        long = text * (LONG_CHARS // len(text))  # a long line or a long text of the same pieces
        check_mask(long, secrets.mask_secrets(long))
    masked = secrets.mask_secrets(text)
    check_mask(text, masked)
    start = min(reader.integer(256) * 4 + reader.integer(4), len(text))
    end = max(start, min(reader.integer(256) * 4, len(text)))
    assert secrets.mask_secrets_in_range(text, start, end) == masked[start:end]
    assert secrets.contains_secret(text) or masked == text
    assert secrets.restore_secrets(masked, masked, text) in (None, text)
    check_mask(text[start:], secrets.mask_secrets(text[start:]))
    assert isinstance(secrets.contains_secret(text[start:], text[:start]), bool)


def is_checked_as_long_text(data: bytes) -> bool:
    return zlib.crc32(data) % INPUTS_PER_LONG_TEXT == 0


def check_mask(text: str, masked: str) -> None:
    assert len(masked) == len(text)
    for start in range(0, len(text), COMPARED_CHARS):
        part, masked_part = (whole[start : start + COMPARED_CHARS] for whole in (text, masked))
        if masked_part != part:
            for char, mask in zip(part, masked_part, strict=True):
                assert mask == char or (mask == secrets.MASK and char not in "\r\n"), (char, mask)
