from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.rewrite import docstrings, edits
from starcoder_ls.rewrite.target import Target, selected


def target(text: str, language: str = "python") -> Target:
    at = text.index("¦")
    text = text.replace("¦", "")
    found = selected(text, at, at, language)
    assert found is not None
    return found


def described(text: str, words: str, language: str = "python") -> str:
    code = target(text, language)
    changes = docstrings.written(code, docstrings.place(code), words)
    edits.require_syntax(code, changes)
    return edits.applied(code.text, changes)


HEADS = [
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
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("words", ["One.", "One.\n\nTwo:\n    three", 'Say "hi"', 'C:\\new """x"""', "tail \\", '"""'])
def test_the_docstring_reads_as_the_words_and_the_code_is_the_same(head: str, words: str, end: str) -> None:
    text = described(head.replace("\n", end), words)
    before, after = ast.parse(head.replace("¦", "")), ast.parse(text)
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
def test_no_words_break_out_of_their_quotes(words: str) -> None:
    words = words.strip() or "x"
    node = ast.parse(described("def ¦f():\n    return 1\n", words)).body[0]
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
def test_other_languages_get_their_doc_comment_above(language: str, text: str, after: str) -> None:
    assert described(text, "One.\nTwo.", language) == after


def test_a_comment_cannot_be_ended_by_its_words() -> None:
    assert "*/ int" not in described("int ¦f() {\n}\n", "One */ int x;", "c")


def test_where_there_is_no_place_the_user_is_told_before_the_model_is_asked() -> None:
    with pytest.raises(ActionUnavailable, match="Python"):
        docstrings.place(target("def ¦f(:\n    pass\n"))
    with pytest.raises(ActionUnavailable, match="brainfuck"):
        docstrings.place(Target("+", 0, 1, "brainfuck"))
    with pytest.raises(ActionUnavailable, match="--language"):
        docstrings.place(Target("+", 0, 1, ""))


@pytest.mark.parametrize(
    ("said", "words"),
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
def test_the_description_is_found_in_code_in_quotes_and_in_words(said: str, words: str | None) -> None:
    found = docstrings.description_in(said, target("def ¦f(a):\n    return a\n"), is_cut=False)
    if words is not None:
        assert found == words
    assert all(len(row) <= 96 for row in found.split("\n"))


def test_a_comment_in_a_block_is_the_description_elsewhere() -> None:
    said = "```c\n/**\n * Add two.\n */\nint f();\n```"
    assert docstrings.description_in(said, Target("int f() {}", 0, 10, "c"), is_cut=False) == "Add two."


def test_a_description_that_was_cut_ends_with_its_last_whole_sentence() -> None:
    code = target("def ¦f(a):\n    return a\n")
    assert docstrings.description_in("Add e.g. 1.5 apples. Then the", code, is_cut=True) == "Add e.g. 1.5 apples."
    with pytest.raises(AnswerUnusable, match="cut"):
        docstrings.description_in("Add two and", code, is_cut=True)
    with pytest.raises(AnswerUnusable, match="described nothing"):
        docstrings.description_in("```\nf(1)\n```", code, is_cut=False)
