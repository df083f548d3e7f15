import pytest

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars, syntax_context


@pytest.mark.parametrize(
    ("language", "before", "after", "where"),
    [
        ("python", 'print("Hel', "\n", "string"),
        ("python", 'print("Hel', '")\n', "string"),
        ("python", 'def f():\n    """Does ', '\n    """\n', "string"),
        ("python", "x = 1  # a ", "\n", "comment"),
        ("python", 'print(f"{na', '}")\n', "code"),
        ("python", 'print(f"{name} i', '")\n', "string"),
        ("python", 'print(f"""{name}\n{na', '}""")\n', "code"),
        ("python", 'x = (\n    "a" ', '\n    "b"\n)\n', "code"),
        ("python", "# it's\nx = 1  # a {", "\ny = 'b'\n", "comment"),
        ("python", "foo(a, ", ")\n", "code"),
        ("javascript", "x = `a ${n", "ame}b`", "code"),
        ("javascript", "const re = /[\"']/; f(", "\n", "code"),
        ("java", "/** The ", "\n */\nint x;", "comment"),
        ("shellscript", "cat <<EOF\nit's\nEOF\necho ", "\n", "code"),
        ("html", "<p>it's ", "</p>", "code"),
        ("sql", "SELECT 'a", "\n", "string"),
        ("nobody knows it", 'f("a', "\n", "string"),
    ],
)
def test_string_comment_and_code_are_told_apart(language: str, before: str, after: str, where: str) -> None:
    assert syntax_context.at(before, after, language).where == where


@pytest.mark.parametrize(
    ("language", "before", "is_block"),
    [
        ("python", "if a:\n    ", True),
        ("python", "if a:  # why\n    ", True),
        ("python", "if a:", False),
        ("python", "a = 1\n", False),
        ("python", "if a:\n    x", False),
        ("python", "", False),
        ("javascript", "f() {\n", True),
        ("javascript", "x = {a:\n", False),
        ("shellscript", "if x; then\n  ", True),
        ("html", "<div>\n  ", True),
        ("html", "<p>text</p>\n", False),
        ("markdown", "As follows:\n", False),
    ],
)
def test_block_is_opened_by_the_line_above_only(language: str, before: str, is_block: bool) -> None:
    assert syntax_context.at(before, "", language).is_block is is_block


def test_call_and_its_bracket_are_known() -> None:
    assert syntax_context.at("foo(a, [1", ")", "python").brackets == "(["
    assert syntax_context.at("foo(a, ", ")", "python").is_argument
    assert not syntax_context.at("x = (a, ", ")", "python").is_argument


@pytest.mark.parametrize(
    ("language", "before", "text", "is_complete"),
    [
        ("javascript", "function f() {\n  const x = ", "foo", True),
        ("javascript", "function f() {\n  if (", "x)", False),
        ("javascript", "function f() {\n  return ", "a +", False),
        ("javascript", "foo(\n  ", "a,", True),
        ("javascript", "x = {\n  ", "a: [1,\n 2],", True),
        ("typescript", "interface A {\n  ", "b: string;", True),
        ("java", "class A {\n  void f() {\n    ", "int x = a", False),
        ("java", "class A {\n  void f() {\n    ", "int x = a;", True),
        ("java", "class A {\n  ", "@Override", False),
        ("go", "func f() error {\n\t", "x := a +", False),
        ("go", "func f() error {\n\t", "if err != nil {\n\t\treturn err\n\t}", True),
        ("rust", "match x {\n    ", "Some(a) => a,", True),
        ("rust", "fn f() -> i32 {\n    ", "let x = a", False),
        ("c", "struct a {\n  ", "int x;", True),
        ("cpp", "int f() {\n  ", "std::vector<int> a;", True),
        ("python", "x = {\n    ", "'a': 1,", True),
        ("python", "def f():\n    ", "x = a + \\", False),
        ("shellscript", "", "echo a |", None),
        ("sql", "SELECT ", "a,", None),
    ],
)
def test_tree_says_whether_a_statement_is_whole(
    language: str, before: str, text: str, is_complete: bool | None
) -> None:
    assert syntax_context.is_complete(before, text, language) is is_complete


def test_block_opens_by_each_language_s_own_words() -> None:
    assert syntax_context.opens_block("for x in y; do", by_id("shellscript"))
    assert not syntax_context.opens_block("case x:", by_id("javascript"))


def test_parse_that_takes_too_long_is_given_up() -> None:
    source = b"def f(a):\n    return a\n" * 20_000
    assert grammars.parsed(source, "python", budget_ms=1) is None
    assert grammars.parsed(b"x = 1\n", "python") is not None
