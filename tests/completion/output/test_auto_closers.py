import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import auto_closers, postprocess
from starcoder_ls.completion.output.delimiters import follow
from starcoder_ls.generation import FinishReason
from starcoder_ls.languages.table import by_id

PYTHON = by_id("python")


@pytest.mark.parametrize(
    ("text", "found"),
    [(")", ")"), ("):\nnext", "):"), ("') \nnext", "')"), (", x)", ""), (") + 1", ""), ("\n)", ""), ("", "")],
)
def test_closers_count_only_up_to_the_line_end(text: str, found: str) -> None:
    assert auto_closers.closers_at(text) == found


@pytest.mark.parametrize(
    ("language", "line_before", "rest", "openers", "ends"),
    [
        ("python", 'open("', '")', ['"', "("], [1, 2]),
        ("python", 'x = f"{', '}"', ["{", '"'], [1, 2]),
        ("python", "def f(", "):", ["("], [1]),
        ("python", "[f(", "),]", ["(", "["], [1, 3]),
        ("python", "f(", '"")', ['"'], [1]),
        ("python", '"""', '"""', ['"""'], [3]),
        ("rust", "let v: Vec<Vec<", ">>;", ["<", "<"], [1, 2]),
        ("rust", "if a ", "> b", [], []),
        ("python", "if a ", ">", [], []),
        ("java", "Map<String, List<", ">> m", ["<", "<"], [1, 2]),
        ("html", '<img src="', '">', ['"', "<"], [1, 2]),
        ("html", '<a href="', '"></a>', ['"', "<"], [1, 2]),
        ("html", "<p>a ", "> b", [], []),
    ],
)
def test_closers_have_types_and_positions(
    language: str, line_before: str, rest: str, openers: list[str], ends: list[int]
) -> None:
    found = auto_closers.read_closers(rest, line_before, by_id(language))
    assert [closer.closes.opener for closer in found] == openers
    assert [closer.end for closer in found] == ends


@pytest.mark.parametrize(
    ("suggestion", "closers", "replaced"),
    [
        ("a, b", ")", 0),
        ("a) + 1", ")", 1),
        ("a) + (b", ")", 0),
        ("g(a)", ")", 0),
        ("g(a)) + 1", ")", 1),
        ("a), z", "))", 1),
        ("hello', name) % 3", "')", 2),
        ("data.txt', encoding='utf-8')", "')", 2),
        ("data.txt', encoding='utf-8", "')", 0),
        ("it\\'s", "'", 0),
        ("a, b) -> int:", "):", 2),
        ("a, b) -> int", "):", 1),
        ("a):\n    return a", "):", 2),
        ("\n    a,\n    b,\n) + c", ")", 1),
        ("')' + x", ")", 0),
        ("a] + 1", ")", 0),
        ("a: int, b", "):", 0),
    ],
)
def test_suggestion_replaces_the_closers_that_it_contains(suggestion: str, closers: str, replaced: int) -> None:
    typed = auto_closers.read_closers(closers, "f('" if "'" in closers else "f(", PYTHON)
    assert auto_closers.count_replaced(suggestion, closers, typed, PYTHON) == replaced


@pytest.mark.parametrize(
    ("line_before", "rest", "count"),
    [("f([", "], 2)", 1), ("f([", "  ], 2)", 3), ("f([", ",] 2)", 0), ("f([1", "], 2)", 0), ("f(", "], 2)", 0)],
)
def test_lines_fill_only_brackets_with_nothing_in_them(line_before: str, rest: str, count: int) -> None:
    python = by_id("python")
    closers = auto_closers.read_closers(rest, line_before, python)
    assert auto_closers.count_filled("\n    0\n]", line_before, closers, python) == count


@given(st.text("ab()[]'\"\\\n,: ", max_size=30), st.text(")]'\":", max_size=4))
def test_at_most_all_closers_are_replaced(suggestion: str, closers: str) -> None:
    typed = auto_closers.read_closers(closers, "f(", PYTHON)
    assert 0 <= auto_closers.count_replaced(suggestion, closers, typed, PYTHON) <= len(closers)


CURSORS = st.sampled_from(
    [
        ("python", 'f = open("', '")'),
        ("python", "x = f('", "')"),
        ("python", 'x = f"{', '}"'),
        ("python", "x = [f(", ")]"),
        ("javascript", "x = g(`", "`)"),
        ("rust", "let v: Vec<Vec<", ">>"),
        ("java", "Map<String, List<", ">>"),
        ("html", '<img src="', '">'),
    ]
)
PIECES = st.lists(st.sampled_from([*"()[]<>\"'`{} ,=a", "data.txt", ' alt="A"', "isize", "\\"]), max_size=12)


@given(CURSORS, PIECES.map("".join))
def test_filters_alone_replace_exactly_what_they_close(cursor: tuple[str, str, str], raw: str) -> None:
    """If the text that is shown closes as much as it replaces, the rest of the line closes what is still open."""
    language, before, closers = cursor
    point = InsertionPoint.at(before, closers, language)
    shown = postprocess.apply_filters(raw, point, FinishReason.STOP_RULE)
    typed = postprocess.read_closers(point)
    opened = [closer.closes for closer in reversed(typed)]
    replaced = auto_closers.count_replaced(shown, closers, typed, point.language)
    still_open = [delimiter.opener for delimiter in follow(shown, opened, point.language).open]
    kept = [closer.closes.opener for closer in reversed(typed) if closer.start >= replaced]
    assert still_open[: len(kept)] == kept


def test_filters_alone_keep_the_quotes_of_an_argument_balanced() -> None:
    point = InsertionPoint.at('f = open("', '")', "python")
    shown = postprocess.apply_filters('data.txt", encoding="utf-8")', point, FinishReason.END_OF_TEXT)
    replaced = auto_closers.count_replaced(shown, '")', postprocess.read_closers(point), point.language)
    assert 'f = open("' + shown + '")'[replaced:] == 'f = open("data.txt", encoding="utf-8")'
