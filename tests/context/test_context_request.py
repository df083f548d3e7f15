from __future__ import annotations

from starcoder_ls.context.context_request import ContextRequest


def request(text: str, offset: int) -> ContextRequest:
    return ContextRequest("file:///a.py", "", text, offset, 300)


def test_lines_near_the_cursor_end_with_the_cursors_own_line() -> None:
    text = "\n".join(f"line{number}" for number in range(100))
    near = request(text, text.index("line50") + 4).lines_near_cursor.split("\n")
    assert near[:2] == ["50", "line51"]
    assert near[-2:] == ["line49", "line"]
    assert len(near) == 10 + 30


def test_text_near_the_cursor_is_limited_in_one_long_line() -> None:
    assert len(request("x" * 1_000_000, 500_000).lines_near_cursor) < 20_000


def test_line_name_and_range_are_those_of_the_cursor() -> None:
    at_end = request("a\nb", 3)
    assert (at_end.line, at_end.name, at_end.prompt_range) == (1, "file:///a.py", (-297, 103))
