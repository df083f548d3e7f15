import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax.brackets import ScanState, scan, scan_incrementally, scan_stepwise


@pytest.mark.parametrize(
    ("language", "text", "state"),
    [
        ("python", 'x = f("a(", [1,', ScanState("([")),
        ("python", "x = ')')", ScanState("", ")")),
        ("python", 's = "ab', ScanState("", "", '"')),
        ("python", 's = "ab\nf(', ScanState("(")),
        ("python", '"\\"("', ScanState()),
        ("python", '"""doc\n((', ScanState("", "", '"""')),
        ("python", "# (it's\nf(", ScanState("(")),
        ("javascript", "const x = `a ${b}", ScanState("", "", "`")),
        ("javascript", "/* ((", ScanState("", "", "*/", True)),
        ("javascript", "// (", ScanState("", "", "\n", True)),
        ("javascript", "const re = /[\"'(]/; f(", ScanState("(")),
        ("javascript", "a = b / (c / 2", ScanState("(")),
        ("rust", "fn f<'a>(x: &'a str) { let y = '('; ", ScanState("{")),
        ("go", "r := '('; f(", ScanState("(")),
        ("cpp", "1'000 + f(", ScanState("(")),
        ("shellscript", 'if [ $# -gt 1 ]; then echo "a(b', ScanState("", "", '"')),
        ("befunge", "f( // (", ScanState("(", "", "\n", True)),
    ],
)
def test_scan_reports_open_brackets_strings_and_comments(language: str, text: str, state: ScanState) -> None:
    assert scan(text, by_id(language)) == state


def test_scan_continues_from_a_given_state() -> None:
    python = by_id("python")
    assert scan('(" + f(', python, scan('x = [g("(', python)) == ScanState("[((")
    assert scan("nothing ends it", python, ScanState("", "", '"""')) == ScanState("", "", '"""')


_LANGUAGES = st.sampled_from(["python", "javascript", "rust", "go", "cpp", "shellscript", "html", "lua", "sql"])
_TOKENS = st.sampled_from([*"()[}{'\"\\\n\na /`#$", "/*", "*/", "//", '"""', "'''", "= ", "<!--", "-->"])


@settings(deadline=None)
@given(st.lists(_TOKENS, max_size=60).map("".join), st.lists(st.integers(0, 60), max_size=4), _LANGUAGES)
def test_incremental_scan_equals_a_full_scan(text: str, cuts: list[int], language: str) -> None:
    for cut in (*cuts, len(text)):
        assert scan_incrementally(text[:cut], by_id(language)) == scan(text[:cut], by_id(language)), text[:cut]


@pytest.mark.parametrize("language", ["python", "javascript", "rust", "html", "lua"])
@pytest.mark.parametrize("text", ["a", "#\n", "\\", "=/[", "a /", "'\\"])
def test_scan_of_repeated_text_reads_each_character_once(language: str, text: str) -> None:
    scan(text * (60_000 // len(text)), by_id(language))  # in quadratic time, twice as much took 45 s


@settings(deadline=None)
@given(st.lists(_TOKENS, max_size=80).map("".join), st.integers(1, 20), _LANGUAGES)
def test_stepwise_scan_ends_with_the_state_of_a_full_scan(text: str, step: int, language: str) -> None:
    calls = text.count("\n") + len(text) // step + 2
    states = [scan_stepwise(text, by_id(language), step) for _ in range(calls)]
    complete = [state for state in states if state is not None]
    assert all(state == scan(text, by_id(language)) for state in complete), text
    longest_line = max(map(len, text.split("\n")))
    assert complete or longest_line >= step or "\\\n" in text, text


@pytest.mark.perf
def test_scan_of_five_thousand_lines_takes_milliseconds() -> None:
    text = 'def f(a, b=[1, 2]):\n    return g("x(", a)  # (\n' * 2500
    took_ms = []
    for _ in range(5):
        started_s = time.perf_counter()
        scan(text, by_id("python"))
        took_ms.append((time.perf_counter() - started_s) * 1000)
    assert min(took_ms) < 200  # 20 to 30 on a quiet core
