from __future__ import annotations

from starcoder_ls.http_api.generation_time_limit import with_time_limit


def test_limit_counts_from_the_first_token_and_ends_no_first_line() -> None:
    times_s = iter([10.0, 10.4, 10.6, 10.7])
    stop = with_time_limit(None, 0.5, lambda: next(times_s))
    texts = ("a", "a\nb", "a" * 9, "a\nb\nc")
    assert [stop(text) for text in texts] == [None, None, None, len("a\nb\nc")]


def test_other_rule_ends_the_text_first() -> None:
    stop = with_time_limit(lambda text: 1 if ";" in text else None, 0.0, iter([1.0, 9.0]).__next__)
    assert [stop("a"), stop("a\n;")] == [None, 1]
