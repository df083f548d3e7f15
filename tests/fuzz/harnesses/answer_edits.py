"""Edits that an answer of a model means: only the target changes, and Python that could be parsed still can be.

A description changes no code: without docstrings, the syntax tree is the same.
"""

from __future__ import annotations

import ast

from fuzz.harnesses.checkpoint_files import check_message
from fuzz.input_bytes import InputReader, decode_text, join_fields, split_fields
from starcoder_ls.context import secrets
from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite import answer_parsing, docstrings, edits
from starcoder_ls.rewrite.answer_scope import scope_answer
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.target import Target, expand_to_function, extract_comment_instruction, find_target

MAX_BYTES = 768
LANGUAGES = ("python", "javascript", "go", "rust", "java", "html", "shellscript", "", "lua")

_PYTHON = "import os\n\nclass A:\n    def f(self, x):\n        '''Old.'''\n        return x\n\nf = 1\n"
SEEDS = (
    join_fields(b"\0\0\0\41\0", _PYTHON, "```python\ndef f(self, x):\n    return x + 1\n```"),
    join_fields(b"\0\1\0\41\0", _PYTHON, 'def f(self, x):\n    """Return x \\ "quoted"."""\n    return x'),
    join_fields(b"\0\2\0\15\77", _PYTHON, "Here is the code:\n\nfoo()\n\nIt works well for all."),
    join_fields(b"\1\1\0\2\0", "function f(a) {\r\n\treturn a;\r\n}\r\n", "Adds */ one.\n\n/** x */"),
    join_fields(b"\2\0\1\2\40", "func f() {\n\tx := 1\n}\n", "```go\nfunc f() {\n    y := 2\n}\n```"),
    join_fields(b"\0\0\0\2\30", "password = 'aB3#kd92mZ'\ny = 2\n", "password = 'xxxxxxxxxx'\ny = 3\u202e\n"),
    join_fields(b"\0\0\0\0\0", "def f(x):\n    return x\n", "import re, os\n\ndef f(x):\n    return re.sub\n\nf(1)\n"),
    join_fields(b"\0\1\0\1\0", "def f(): return 'é'; x = 1\n", '\'It says é."""\''),
)


def check(data: bytes) -> None:
    options, raw_text, raw_answer = split_fields(data, 3)
    reader = InputReader(options)
    language, kind, is_cut = reader.choice(LANGUAGES), reader.integer(3), bool(reader.integer(2))
    text, generated = decode_text(raw_text), decode_text(raw_answer)
    start = min(reader.integer(256) * 2, len(text))
    end = min(start + reader.integer(256), len(text))
    target = find_target(text, start, end, language)
    if target is None:
        return
    check_target(target)
    visible = strip_hidden_characters(generated, target.text)
    answer, _ = answer_parsing.extract_answer(visible, "Question:", "\nAnswer:")
    try:
        if kind == 1:
            check_description(target, answer, is_cut)
        else:
            check_code(target, answer, is_cut, is_insertion=kind == 2)
    except (AnswerUnusable, ActionUnavailable) as error:
        check_message(str(error))


def check_target(target: Target) -> None:
    assert 0 <= target.start <= target.end <= len(target.text)
    assert target.start == 0 or target.text[target.start - 1] in "\r\n"
    assert target.end == len(target.text) or target.text[target.end] in "\r\n"
    below = extract_comment_instruction(target)
    assert below is None or target.start < below.start <= below.end <= len(target.text)


def check_code(target: Target, answer: str, is_cut: bool, is_insertion: bool) -> None:
    code = answer_parsing.extract_code(answer, "" if is_insertion else target.masked_code, is_cut)
    scoped = scope_answer(target, code, is_insertion)
    for change in scoped.import_changes:
        assert change.start == change.end <= target.start
        assert change.text.strip()
    restored = secrets.restore_secrets(scoped.code, target.masked_code, target.code)
    if restored is None:
        return
    changes = edits.insert_below(target, restored) if is_insertion else edits.replace_target(target, restored)
    result = apply(target, changes)
    region = result[target.start : len(result) - (len(target.text) - target.end)]
    if is_insertion:
        region = region.removeprefix(target.code)
    assert "".join(region.split()) == "".join(restored.split())
    check_syntax(target, sorted((*scoped.import_changes, *changes), key=lambda change: change.start))


def check_description(target: Target, answer: str, is_cut: bool) -> None:
    function = expand_to_function(target) or target
    position = docstrings.find_position(function)
    description = docstrings.extract_description(answer, function, is_cut)
    changes = docstrings.build_changes(function, position, description)
    apply(function, changes)
    check_syntax(function, changes)
    if function.language == "python" and edits.find_syntax_error(target.text) is None:
        before = ast.parse(target.text.removeprefix("\ufeff"))
        after = ast.parse(edits.apply_changes(target.text, changes).removeprefix("\ufeff"))
        assert without_docstrings(before) == without_docstrings(after)


def apply(target: Target, changes: list[Change]) -> str:
    """The text after ``changes``, which are in order, and outside of which nothing differs."""
    previous = 0
    for change in changes:
        assert previous <= change.start <= change.end <= len(target.text)
        previous = change.end
    result = edits.apply_changes(target.text, changes)
    if changes:
        assert result.startswith(target.text[: changes[0].start])
        assert result.endswith(target.text[changes[-1].end :])
    return result


def check_syntax(target: Target, changes: list[Change]) -> None:
    """Raises AnswerUnusable if the edit is refused."""
    edits.require_valid_syntax(target, changes)
    if target.language == "python" and edits.find_syntax_error(target.text) is None:
        assert edits.find_syntax_error(edits.apply_changes(target.text, changes)) is None


def without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if is_definition and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
