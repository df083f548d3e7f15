from __future__ import annotations

from starcoder_ls.text_tokens.prefix_index import PrefixIndex

TOKENS = [b"a", b"ab", b"abc", b"abd", b"b", b"", b"ab\xc3", b"ac", b"\xc3", b"\xa9(", b"\xff"]


def test_compatible_tokens_begin_with_the_bytes_or_the_bytes_with_them() -> None:
    index = PrefixIndex(TOKENS)
    found = {data: sorted(index.find_compatible(data)) for data in (b"ab", b"abcd", b"x", b"a")}
    assert found == {b"ab": [0, 1, 2, 3, 6], b"abcd": [0, 1, 2], b"x": [], b"a": [0, 1, 2, 3, 6, 7]}


def test_parts_of_a_character_are_compatible_with_it() -> None:
    index = PrefixIndex(TOKENS)
    assert sorted(index.find_compatible("é".encode())) == [8]
    assert sorted(index.find_compatible("é(".encode()[1:])) == [9]
    assert sorted(index.find_compatible("abé".encode())) == [0, 1, 6]
