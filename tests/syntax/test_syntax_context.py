import pytest

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars, syntax_context


@pytest.mark.parametrize(
    ("language", "before", "after", "region"),
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
        ("befunge", 'f("a', "\n", "string"),
        # Interpolations that are still empty.
        ("python", 'x = f"{', '}"', "code"),
        ("python", 'x = f"{{', '"', "string"),
        ("python", 'x = f"{a} ', '"', "string"),
        ("python", 'x = "{', '}"', "string"),
        ("javascript", "x = `${", "}`", "code"),
        ("javascript", "x = `${a} ", "`", "string"),
        ("ruby", 'puts "#{', '}"', "code"),
        ("csharp", 'x = $"{', '}"', "code"),
    ],
)
def test_context_distinguishes_code_strings_and_comments(language: str, before: str, after: str, region: str) -> None:
    assert syntax_context.context_at(before, after, language).region == region


@pytest.mark.parametrize(
    ("language", "before", "is_expected"),
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
def test_context_follows_a_block_opener_only_on_the_next_line(language: str, before: str, is_expected: bool) -> None:
    assert syntax_context.context_at(before, "", language).follows_block_opener is is_expected


def test_context_reports_open_brackets_and_call_arguments() -> None:
    assert syntax_context.context_at("foo(a, [1", ")", "python").open_brackets == "(["
    assert syntax_context.context_at("foo(a, ", ")", "python").is_in_call_arguments
    assert not syntax_context.context_at("x = (a, ", ")", "python").is_in_call_arguments


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
def test_statement_completeness_follows_the_syntax_tree(
    language: str, before: str, text: str, is_complete: bool | None
) -> None:
    assert syntax_context.is_complete(before, text, language) is is_complete


def test_opens_block_uses_the_pattern_of_the_language() -> None:
    assert syntax_context.opens_block("for x in y; do", by_id("shellscript"))
    assert not syntax_context.opens_block("case x:", by_id("javascript"))


def test_parse_is_abandoned_when_it_exceeds_its_budget() -> None:
    source = b"def f(a):\n    return a\n" * 20_000
    assert grammars.parse(source, "python", budget_ms=1) is None
    assert grammars.parse(b"x = 1\n", "python") is not None


def test_lone_surrogates_around_the_cursor_do_not_hide_the_syntax() -> None:
    before, after = "x = '\ud83d'\nprint('\udc00", "\ud83d')\n"
    assert syntax_context.context_at(before, after, "python").region == "string"
    assert syntax_context.is_complete("x = '\ud83d'\ny", " = 1\n", "python") is True
    assert syntax_context.is_complete("x = '\ud83d'\ny", " = 1 +\n", "python") is False
    assert grammars.encode("é\ud83d") == b"\xc3\xa9?"
