from __future__ import annotations

from starcoder_ls.context import identifiers
from starcoder_ls.context.identifiers import (
    content_lines,
    extract_identifiers,
    identifier_set,
    line_offset,
    split_into_chunks,
)


def test_identifiers_come_once_each_the_last_first() -> None:
    assert extract_identifiers("alpha = beta(gamma)\nreturn alpha.Delta2") == ["delta2", "alpha", "gamma", "beta"]
    assert identifier_set("if x: return None") == frozenset()


def test_chunks_together_are_the_text() -> None:
    text = "\n".join(str(number) for number in range(75))
    chunks = list(split_into_chunks("a.py", text))
    assert [chunk.start_line for chunk in chunks] == [0, 30, 60]
    assert "\n".join(chunk.text for chunk in chunks) == text


def test_offset_beyond_the_last_line_is_the_end() -> None:
    assert [line_offset("ab\n\nc", line) for line in range(5)] == [0, 3, 4, 5, 5]


def test_content_lines_leave_out_short_lines() -> None:
    assert content_lines("    return value\n\n}\n  return value\n") == {"return value"}


def test_caches_keep_no_long_texts() -> None:
    identifiers._cached_identifier_set.cache_clear()
    identifiers._cached_content_lines.cache_clear()
    for number in range(20):
        long_line = f"value_{number} = " + "call(argument); " * 60_000
        assert f"value_{number}" in identifiers.identifier_set(long_line)
        assert identifiers.content_lines(long_line)
    assert identifiers._cached_identifier_set.cache_info().currsize == 0
    assert identifiers._cached_content_lines.cache_info().currsize == 0
