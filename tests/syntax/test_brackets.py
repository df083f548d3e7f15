import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax.brackets import State, read, read_again


@pytest.mark.parametrize(
    ("language", "text", "state"),
    [
        ("python", 'x = f("a(", [1,', State("([")),
        ("python", "x = ')')", State("", ")")),
        ("python", 's = "ab', State("", "", '"')),
        ("python", 's = "ab\nf(', State("(")),
        ("python", '"\\"("', State()),
        ("python", '"""doc\n((', State("", "", '"""')),
        ("python", "# (it's\nf(", State("(")),
        ("javascript", "const x = `a ${b}", State("", "", "`")),
        ("javascript", "/* ((", State("", "", "*/", True)),
        ("javascript", "// (", State("", "", "\n", True)),
        ("javascript", "const re = /[\"'(]/; f(", State("(")),
        ("javascript", "a = b / (c / 2", State("(")),
        ("rust", "fn f<'a>(x: &'a str) { let y = '('; ", State("{")),
        ("go", "r := '('; f(", State("(")),
        ("cpp", "1'000 + f(", State("(")),
        ("shellscript", 'if [ $# -gt 1 ]; then echo "a(b', State("", "", '"')),
        ("nobody knows it", "f( // (", State("(", "", "\n", True)),
    ],
)
def test_brackets_strings_and_comments_that_stay_open(language: str, text: str, state: State) -> None:
    assert read(text, by_id(language)) == state


def test_reading_goes_on_where_it_ended() -> None:
    python = by_id("python")
    assert read('(" + f(', python, read('x = [g("(', python)) == State("[((")
    assert read("nothing ends it", python, State("", "", '"""')) == State("", "", '"""')


_LANGUAGES = st.sampled_from(["python", "javascript", "rust", "go", "cpp", "shellscript", "html", "lua", "sql"])
_PIECES = st.sampled_from(
    [
        "(",
        ")",
        "[",
        "}",
        "{",
        "'",
        '"',
        "\\",
        "\n",
        "\n",
        "a",
        " ",
        "/",
        "/*",
        "*/",
        "//",
        "#",
        '"""',
        "'''",
        "`",
        "= ",
        "<!--",
        "-->",
        "$",
    ]
)


@given(st.lists(_PIECES, max_size=60).map("".join), st.lists(st.integers(0, 60), max_size=4), _LANGUAGES)
def test_what_was_read_before_changes_nothing(text: str, cuts: list[int], language: str) -> None:
    for cut in (*cuts, len(text)):
        assert read_again(text[:cut], by_id(language)) == read(text[:cut], by_id(language)), text[:cut]


def test_file_of_five_thousand_lines_is_read_in_milliseconds() -> None:
    import time

    text = 'def f(a, b=[1, 2]):\n    return g("x(", a)  # (\n' * 2500
    took_ms = []
    for _ in range(5):
        began_s = time.perf_counter()
        read(text, by_id("python"))
        took_ms.append((time.perf_counter() - began_s) * 1000)
    assert min(took_ms) < 200  # 20 to 30 on a quiet core
