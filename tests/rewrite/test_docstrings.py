from __future__ import annotations

import ast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.rewrite import docstrings, edits
from starcoder_ls.rewrite.target import Target, find_target


def target(text: str, language: str = "python") -> Target:
    cursor = text.index("¦")
    text = text.replace("¦", "")
    found = find_target(text, cursor, cursor, language)
    assert found is not None
    return found


def add_description(text: str, description: str, language: str = "python") -> str:
    code = target(text, language)
    changes = docstrings.build_changes(code, docstrings.find_position(code), description)
    edits.require_valid_syntax(code, changes)
    return edits.apply_changes(code.text, changes)


DEFINITIONS = [
    "def ¦f():\n    return 1\n",
    "def ¦f(): return 1\n",
    "def ¦f(): ...\nx = 1\n",
    "@a\n@b(\n    1,\n)\nasync def f(\n    x: int = (1),\n) -> dict[str, int]:\n    # why\n\n    ¦return 1\n",
    "class A:\n\n    def ¦f(self):  # a comment: with a colon\n\n        return 'é' + 1\n",
    "class ¦A(B):\n\tx = 1\n",
    'def ¦f():\n    """Old."""\n    return 1\n',
    'def ¦f():\n    r"""Old\n\n    \\d."""\n',
    'def ¦f(): "old"\n',
    "def ¦f(): 'old'; return 1\n",
    "def ¦f():\n    @g\n    def h(): pass\n    return h\n",
    "if x:\n    def ¦f():\n        return '''\nat the margin'''\n".replace("\nat", "\n        at"),
]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("words", ["One.", "One.\n\nTwo:\n    three", 'Say "hi"', 'C:\\new """x"""', "tail \\", '"""'])
def test_docstring_has_the_description_and_leaves_the_code_unchanged(definition: str, words: str, end: str) -> None:
    text = add_description(definition.replace("\n", end), words)
    before, after = ast.parse(definition.replace("¦", "")), ast.parse(text)
    found = [docstring(node) for node in ast.walk(after) if docstring(node) is not None]
    assert words in found
    assert without_docstrings(before) == without_docstrings(after)
    assert end == "\r\n" or "\r" not in text
    assert text.count("\n") == text.count(end)


def docstring(node: ast.AST) -> str | None:
    is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return ast.get_docstring(node) if is_definition else None  # type: ignore[arg-type]


def without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if docstring(node) is not None:
            node.body = node.body[1:]  # type: ignore[attr-defined]
    return ast.dump(tree)


@settings(max_examples=200)
@given(st.text(alphabet="\\\"'ab \n{}", min_size=1, max_size=20))
@example('""""')
@example('\\"')
def test_no_description_ends_its_docstring(words: str) -> None:
    words = words.strip() or "x"
    node = ast.parse(add_description("def ¦f():\n    return 1\n", words)).body[0]
    assert isinstance(node, ast.FunctionDef)
    assert len(node.body) == 2
    found = ast.get_docstring(node, clean=False)
    assert found is not None
    assert found.split() == words.split()


@pytest.mark.parametrize(
    ("language", "text", "after"),
    [
        ("c", "int ¦f() {\n}\n", "/**\n * One.\n * Two.\n */\nint f() {\n}\n"),
        ("c", "/** Old.\n */\nint ¦f() {\n}\n", "/**\n * One.\n * Two.\n */\nint f() {\n}\n"),
        ("c", "/* no doc */\nint ¦f() {\n}\n", "/* no doc */\n/**\n * One.\n * Two.\n */\nint f() {\n}\n"),
        ("rust", "/// Old.\n#[a]\nfn ¦f() {\n}\n", "/// One.\n/// Two.\n#[a]\nfn f() {\n}\n"),
        (
            "java",
            "class A {\n  int ¦f() {\n  }\n}\n",
            "class A {\n  /**\n   * One.\n   * Two.\n   */\n  int f() {\n  }\n}\n",
        ),
        ("go", "package a\n\nfunc ¦F() {\n}\n", "package a\n\n// One.\n// Two.\nfunc F() {\n}\n"),
    ],
)
def test_doc_comment_is_written_above_in_the_style_of_the_language(language: str, text: str, after: str) -> None:
    assert add_description(text, "One.\nTwo.", language) == after


@pytest.mark.parametrize(
    ("language", "above", "after"),
    [
        ("go", "//go:noinline\n", "// One.\n//go:noinline\n"),
        ("go", "// Old.\n//\n//nolint:errcheck\n", "// One.\n//nolint:errcheck\n"),
        ("go", "//export f\n", "// One.\n//export f\n"),
        ("go", "//old()\n", "//old()\n// One.\n"),
        ("go", "// +build linux\n// Old.\n", "// +build linux\n// One.\n"),
        ("shellscript", "#!/bin/sh\n", "#!/bin/sh\n# One.\n"),
        ("shellscript", "# Old.\n# shellcheck disable=SC2034\n", "# One.\n# shellcheck disable=SC2034\n"),
        ("perl", "# -*- mode: perl -*-\n# vim: sw=2\n", "# -*- mode: perl -*-\n# vim: sw=2\n# One.\n"),
        ("rust", "// Not a doc comment.\n", "// Not a doc comment.\n/// One.\n"),
        ("csharp", "/// Old:\n/// see https://a.b\n/// a:b\n", "/// One.\n"),
        ("cpp", "a:b(); // c\n", "a:b(); // c\n/**\n * One.\n */\n"),
        ("swift", "// swiftlint:disable:next a\n", "/// One.\n// swiftlint:disable:next a\n"),
        ("typescript", "/** Old. */\n// @ts-ignore\n", "/**\n * One.\n */\n// @ts-ignore\n"),
        ("cpp", "// NOLINTNEXTLINE(a)\n", "/**\n * One.\n */\n// NOLINTNEXTLINE(a)\n"),
    ],
)
def test_doc_comment_replaces_no_directive(language: str, above: str, after: str) -> None:
    functions = {"go": "func f() {", "perl": "sub f {", "rust": "fn f() {", "swift": "func f() {"}
    function = functions.get(language, "f() {")
    code = f"x = 1;\n{above}" if not above.startswith("#!") else above
    documented = add_description(f"{code}{function}¦\n}}\n", "One.", language)
    assert documented == f"{code.removesuffix(above)}{after}{function}\n}}\n"


@pytest.mark.parametrize("header", ["# frozen_string_literal: true", "# -*- coding: utf-8 -*-", "# typed: strict"])
def test_doc_comment_of_selected_lines_goes_below_the_header(header: str) -> None:
    text = f"{header}\n# rubocop:disable A\ndef f\nend\n"
    code = Target(text, text.index("def"), len(text) - 1, "ruby")
    changes = docstrings.build_changes(code, docstrings.find_position(code), "One.")
    assert edits.apply_changes(text, changes) == text.replace("# rubocop", "# One.\n# rubocop")


def test_no_description_ends_its_block_comment() -> None:
    assert "*/ int" not in add_description("int ¦f() {\n}\n", "One */ int x;", "c")


def test_find_position_raises_for_broken_code_and_unknown_languages() -> None:
    with pytest.raises(ActionUnavailable, match="Python"):
        docstrings.find_position(target("def ¦f(:\n    pass\n"))
    with pytest.raises(ActionUnavailable, match="brainfuck"):
        docstrings.find_position(Target("+", 0, 1, "brainfuck"))
    with pytest.raises(ActionUnavailable, match="--language"):
        docstrings.find_position(Target("+", 0, 1, ""))


@pytest.mark.parametrize(
    ("answer", "description"),
    [
        (" Add two.", "Add two."),
        ("Here is the docstring:\n\nAdd two.", "Add two."),
        ('"""Add two."""', "Add two."),
        ("'Add two.'", "Add two."),
        ('```python\n"""\nAdd two.\n\n    Deeper.\n"""\n```', "Add two.\n\n    Deeper."),
        ('Sure:\n```python\ndef f(a):\n    """Add two."""\n    return a\n```\nDone.', "Add two."),
        ('    """Add\n    two."""', "Add\ntwo."),
        ("Add two.\n\n```python\nf(1)\n```", "Add two."),
        ('"""Say \\"hi\\"."""', 'Say "hi".'),
        ("# Add two.\n# And three.", "Add two.\nAnd three."),
        ("Add. " + "It goes on and on. " * 8, None),
    ],
)
def test_description_is_extracted_from_code_quotes_comments_and_words(answer: str, description: str | None) -> None:
    found = docstrings.extract_description(answer, target("def ¦f(a):\n    return a\n"), is_cut=False)
    if description is not None:
        assert found == description
    assert all(len(row) <= 96 for row in found.split("\n"))


def test_description_is_extracted_from_a_comment_in_a_code_block() -> None:
    answer = "```c\n/**\n * Add two.\n */\nint f();\n```"
    assert docstrings.extract_description(answer, Target("int f() {}", 0, 10, "c"), is_cut=False) == "Add two."


def test_cut_description_ends_with_its_last_whole_sentence() -> None:
    code = target("def ¦f(a):\n    return a\n")
    assert docstrings.extract_description("Add e.g. 1.5 apples. Then the", code, is_cut=True) == "Add e.g. 1.5 apples."
    with pytest.raises(AnswerUnusable, match="cut"):
        docstrings.extract_description("Add two and", code, is_cut=True)
    with pytest.raises(AnswerUnusable, match="has no description"):
        docstrings.extract_description("```\nf(1)\n```", code, is_cut=False)
