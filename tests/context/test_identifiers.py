from __future__ import annotations

from starcoder_ls.context.identifiers import line_set, line_start, pieces, word_set, words


def test_words_are_identifiers_once_each_the_last_first() -> None:
    assert words("alpha = beta(gamma)\nreturn alpha.Delta2") == ["delta2", "alpha", "gamma", "beta"]
    assert word_set("if x: return None") == frozenset()


def test_pieces_together_are_the_text() -> None:
    text = "\n".join(str(number) for number in range(75))
    cut = list(pieces("a.py", text))
    assert [piece.start for piece in cut] == [0, 30, 60]
    assert "\n".join(piece.text for piece in cut) == text


def test_lines_start_where_they_are_and_beyond_the_last_at_the_end() -> None:
    assert [line_start("ab\n\nc", line) for line in range(5)] == [0, 3, 4, 5, 5]


def test_lines_that_say_nothing_are_no_lines() -> None:
    assert line_set("    return value\n\n}\n  return value\n") == {"return value"}
