from __future__ import annotations

import pytest

from starcoder_ls.rewrite.enclosing_function import find_enclosing_function


def function_at_cursor(text: str, language: str) -> str | None:
    """The function around ``¦``."""
    offset = text.index("¦")
    text = text.replace("¦", "")
    span = find_enclosing_function(text, offset, language)
    return text[span.start : span.end] if span else None


PYTHON = """import os


@decorated(
    1,
)
def skipped():
    pass


@a
@b(1)
async def first(
    x,
    y=(1, 2),
) -> int:
    # a comment

    def inner():
        return 1

    return [
        x,
    ]


class Shape:
    size = 1

    def area(self): return 2

print(1)
"""


@pytest.mark.parametrize(
    ("marked", "start", "end"),
    [
        ("@b(1)", "@a\n@b", "    ]"),
        ("y=(1", "@a\n@b", "    ]"),
        ("# a comment", "@a\n@b", "    ]"),
        ("    return [", "@a\n@b", "    ]"),
        ("        x,\n    ]", "@a\n@b", "    ]"),
        ("return 1", "    def inner", "return 1"),
        ("def inner", "    def inner", "return 1"),
        ("size = 1", "class Shape", "return 2"),
        ("return 2", "    def area", "return 2"),
    ],
)
def test_python_function_ends_with_its_indentation(marked: str, start: str, end: str) -> None:
    code = function_at_cursor(PYTHON.replace(marked, f"¦{marked}"), "python")
    assert code is not None
    assert code.startswith(start)
    assert code.endswith(end)


@pytest.mark.parametrize("marked", ["import os", "print(1)"])
def test_no_function_is_found_at_module_level(marked: str) -> None:
    assert function_at_cursor(PYTHON.replace(marked, f"¦{marked}"), "python") is None


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_function_is_found_with_every_kind_of_line_end(line_end: str) -> None:
    text = "def f():\n    x = 1¦\n\n\ny = 2\n".replace("\n", line_end)
    assert function_at_cursor(text, "python") == f"def f():{line_end}    x = 1"


C = """int a;
/* b */
static int f(int x)
{
  if (x) { ¦return 1; }
  return 2;
}
int b;
"""
JAVA = """class A {
  int x;

  @Override
  public int f() {
    for (int i = 0; i < 3; i++) {
      g(¦);
    }
    return 1; // }
  }
}
"""


@pytest.mark.parametrize(
    ("language", "text", "first", "last"),
    [
        ("c", C, "static int f(int x)\n", "}"),
        ("javascript", "const f = (a) => {\n  const s = '{';¦\n  return `}`;\n};\n", "const f", "`}`;\n};"),
        ("rust", "fn a() {}\n\n#[inline]\nfn f<'a>(x: &'a str) -> char {\n  '{'¦\n}\n", "#[inline]\n", "'{'\n}"),
        ("java", JAVA, "  @Override\n", "// }\n  }"),
        ("go", "package a\n\nfunc (s *T) F() (int, error) {\n\treturn ¦1, nil\n}\n", "func (s", "nil\n}"),
        ("go", "var x = 1\nfunc F(\n\ta int,\n) int {\n\treturn ¦1\n}\n", "func F(", "1\n}"),
        ("typescript", "class A {\n  x¦ = 1;\n  f() { return 1; }\n}\n", "class A", "; }\n}"),
        ("kotlin", "val x = 1\nfun f(x: Int): Int {\n    return¦ x\n}\n", "fun f", "x\n}"),
    ],
)
def test_function_in_braces_is_found_despite_strings_and_comments(
    language: str, text: str, first: str, last: str
) -> None:
    code = function_at_cursor(text, language)
    assert code is not None
    assert code.startswith(first)
    assert code.endswith(last)
    assert code in text.replace("¦", "")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("c", "int ¦a = 1;\n"),
        ("rust", "fn f() {}\n¦\n"),
        ("yaml", "a: {b: ¦c}\n"),
        ("c", "}}{{¦"),
        ("python", "¦"),
        ("go", ""),
    ],
)
def test_no_function_is_found_where_there_is_none(language: str, text: str) -> None:
    assert find_enclosing_function(text.replace("¦", ""), max(text.find("¦"), 0), language) is None


@pytest.mark.parametrize(
    "text", ["'" + "\\'" * 60_000, "{" * 100_000, "x = 1;\n" * 100_000, "/*" * 100_000, "a" * 600_000]
)
def test_text_that_is_no_code_is_searched_once(text: str) -> None:
    """Quadratic work would take minutes here."""
    assert find_enclosing_function(text, len(text) // 2, "javascript") is None


def test_unfinished_quote_hides_no_function_behind_it() -> None:
    assert function_at_cursor("// it's\nfunction f() {\n  return '}'¦;\n}\n", "javascript") == (
        "function f() {\n  return '}';\n}"
    )


@pytest.mark.parametrize("rest", [" // why", ");", " g();", ", 1)", "\x1c"])
def test_function_in_braces_ends_with_its_last_line(rest: str) -> None:
    text = f"function f() {{\n  ¦return 1;\n}}{rest}"
    assert function_at_cursor(f"{text}\r\ng();\n", "javascript") == text.replace("¦", "")
