import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax.brackets import ScanState, scan, scan_incrementally


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


@pytest.mark.perf
def test_scan_of_five_thousand_lines_takes_milliseconds() -> None:
    text = 'def f(a, b=[1, 2]):\n    return g("x(", a)  # (\n' * 2500
    took_ms = []
    for _ in range(5):
        started_s = time.perf_counter()
        scan(text, by_id("python"))
        took_ms.append((time.perf_counter() - started_s) * 1000)
    assert min(took_ms) < 200  # 20 to 30 on a quiet core
