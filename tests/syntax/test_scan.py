import pytest

from starcoder_ls.syntax.languages import known
from starcoder_ls.syntax.scan import State, read


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
    assert read(text, known(language)) == state


def test_reading_goes_on_where_it_ended() -> None:
    python = known("python")
    assert read('(" + f(', python, read('x = [g("(', python)) == State("[((")
    assert read("nothing ends it", python, State("", "", '"""')) == State("", "", '"""')


def test_file_of_five_thousand_lines_is_read_in_milliseconds() -> None:
    import time

    text = 'def f(a, b=[1, 2]):\n    return g("x(", a)  # (\n' * 2500
    took_ms = []
    for _ in range(5):
        began_s = time.perf_counter()
        read(text, known("python"))
        took_ms.append((time.perf_counter() - began_s) * 1000)
    assert min(took_ms) < 200  # 20 to 30 on a quiet core
