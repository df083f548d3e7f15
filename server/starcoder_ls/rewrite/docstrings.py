"""Writes a description as the docstring of a Python function, or as the doc comment of a function elsewhere.

Decides which words of an answer are the description, where it goes and how the language writes it.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import warnings
from dataclasses import dataclass

from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.languages.language import DocComment
from starcoder_ls.languages.table import PYTHON, by_id
from starcoder_ls.rewrite import answer_parsing, text_lines
from starcoder_ls.rewrite.code_indentation import CodeLines
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.target import Target

_MAX_COLUMNS = 96
_TRIPLE_QUOTED = re.compile(r"[rRuU]?(\"\"\"|''')(.*?)(\1|\Z)", re.DOTALL)
_WHOLE_SENTENCES = re.compile(r".*[.!?](?=\s|\Z)", re.DOTALL)
_INTRODUCTION = re.compile(
    r"(?:Here|Sure|Certainly|Of course|The docstring|Docstring)\b[^\n]*:[ \t]*(?:\n|\Z)", re.IGNORECASE
)
_COMMENT_MARKS = re.compile(r"[ \t]*(?:/\*\*?|\*/|\*|///?!?|#|--[-|]?|;;+)?[ \t]?")
_COMMENT_STARTS = ("/*", "*", "//", "#", "--", ";;")
_DOC_BLOCK = re.compile(r"/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*(?:\r\n?|\n)")
_DIRECTIVE = re.compile(
    r"export \w+\Z|[ \t]?(?:[a-z][\w-]*:[a-z]|@ts-|eslint-disable-next|prettier-ignore|NOLINT|nolint|noinspection|"
    r"(?:shellcheck|rubocop|luacheck|sqlfluff|verilator|clang-format)\b)"
)
"""The text of a comment that a tool reads, for the line below."""
_FILE_HEADER = re.compile(
    r"-\*-|(?:en)?coding[:=]|frozen_string_literal:|typed:|vim?:|\+build\b|Code generated|SPDX-License-Identifier"
)
_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class DocstringPosition:
    """The description replaces the text between ``start`` and ``end``, with ``before`` and ``after`` around it."""

    start: int
    end: int
    indentation: str
    before: str = ""
    after: str = ""


def find_position(target: Target) -> DocstringPosition:
    """Where a description of ``target`` goes.

    Raises ActionUnavailable if the language has no known doc comment, or if the Python code cannot be parsed; so call
    it before the model is asked.
    """
    if _is_python(target):
        return _find_python_position(target)
    style = by_id(target.language).doc_comment
    if style is None:
        unsupported = f"Doc comments of the language {target.language} are not supported."
        unknown = "The language of this code is not known. Name it (in a terminal: `--language python`)."
        raise ActionUnavailable(unsupported if target.language else unknown)
    line_end = text_lines.dominant_line_end(target.text)
    indentation = text_lines.indentation_of(target.code)
    start, end = _doc_comment_span(target, style)
    return DocstringPosition(start, end, indentation, after=line_end)


def build_changes(target: Target, position: DocstringPosition, description: str) -> list[Change]:
    """The change that writes ``description``, in lines as they should read; none if it is there already."""
    line_end = text_lines.dominant_line_end(target.text)
    style = by_id(target.language).doc_comment
    lines = _comment_lines(description, style) if style else _docstring_lines(description)
    indented = [f"{position.indentation}{line}".rstrip() for line in lines]
    text = f"{position.before}{line_end.join(indented)}{position.after}"
    is_unchanged = target.text[position.start : position.end] == text
    return [] if is_unchanged else [Change(position.start, position.end, text)]


def extract_description(answer: str, target: Target, is_cut: bool) -> str:
    """The description in ``answer``: a docstring in code, a string, a comment, or plain words.

    Of an answer that was cut, only the whole sentences. Raises AnswerUnusable if nothing is left.
    """
    blocks = [fence.code for fence in answer_parsing.find_fences(answer)]
    description = next((text for code in (*blocks, answer) if (text := _docstring_in(code))), "")
    if not description and blocks and not _is_python(target):
        description = _comment_text(blocks[0])
    if not description:
        description = _comment_text(answer) if _is_comment(answer) else _plain_words(answer)
    if is_cut:
        sentences = _WHOLE_SENTENCES.match(description)
        description = sentences[0] if sentences else ""
        if not description:
            raise AnswerUnusable(
                "The answer was cut before its first sentence ended. Raise `max_new_tokens` of the action."
            )
    if not description.strip():
        raise AnswerUnusable("The model's answer has no description. Select the whole function, or try again.")
    width = _MAX_COLUMNS - len(text_lines.indentation_of(target.code))
    return "\n".join(_wrap(description.strip(), width))


def _docstring_in(code: str) -> str:
    """The docstring of the first function or class in ``code``, else its first triple-quoted string, else nothing."""
    tree = _parse(inspect.cleandoc(code))
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, _DEFINITION) and (text := ast.get_docstring(node)):
            return text
    literal = _TRIPLE_QUOTED.search(code)
    if literal is None:
        return ""
    tree = _parse(literal[0]) if literal[3] else None
    value = tree.body[0].value if tree and tree.body and isinstance(tree.body[0], ast.Expr) else None
    text = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else literal[2]
    return inspect.cleandoc(text)


def _is_comment(text: str) -> bool:
    lines = [line.strip() for line in text.strip().split("\n")]
    return all(line.startswith(_COMMENT_STARTS) for line in lines if line)


def _comment_text(text: str) -> str:
    """The words of the comment that ``text`` begins with."""
    lines = []
    for line in text.strip().split("\n"):
        if not line.strip().startswith(_COMMENT_STARTS):
            break
        marks = _COMMENT_MARKS.match(line)
        lines.append(line[marks.end() if marks else 0 :].removesuffix("*/").rstrip())
    return "\n".join(lines).strip()


def _plain_words(answer: str) -> str:
    """The words before the first code, without an introduction and without quotes around them."""
    words = _INTRODUCTION.sub("", answer.strip(), count=1)
    words = re.split(r"(?m)^[ \t]*(?:```|~~~|@|def |async def |class )", words, maxsplit=1)[0].strip()
    if len(words) > 1 and words[0] == words[-1] and words[0] in "\"'":
        words = words[1:-1]
    return words.strip()


def _wrap(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for line in text.split("\n"):
        is_wrapped = len(line) > width and not line.startswith((" ", "\t"))
        wrapped = textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) if is_wrapped else []
        lines += wrapped or [line.rstrip()]
    return lines


def _docstring_lines(description: str) -> list[str]:
    escaped_quotes = '\\"\\"\\"'
    text = description.replace("\\", "\\\\").replace('"""', escaped_quotes)
    lines = text.split("\n")
    if len(lines) > 1:
        return [f'"""{lines[0]}', *lines[1:], '"""']
    ends_with_quote = text.endswith('"') and not text.endswith(escaped_quotes)
    return [f'"""{text[:-1]}\\""""' if ends_with_quote else f'"""{text}"""']


def _comment_lines(description: str, style: DocComment) -> list[str]:
    lines = [f"{style.line}{line}".rstrip() for line in description.replace("*/", "* /").split("\n")]
    return [*([style.opening] if style.opening else []), *lines, *([style.closing] if style.closing else [])]


def _doc_comment_span(target: Target, style: DocComment) -> tuple[int, int]:
    """Where the doc comment above the target is, or goes: above directives for tools, which apply to the next line."""
    lines, end = text_lines.split_lines(target.text[: target.start]), target.start
    while lines and _is_directive(lines[-1].strip(), target.language):
        end -= len(lines.pop())
    above, start = target.text[:end], end
    if style.opening:
        comment = max(above.rfind("/**"), 0)
        line_start = max(above.rfind("\n", 0, comment), above.rfind("\r", 0, comment)) + 1
        is_doc_block = text_lines.is_blank(above[line_start:comment]) and _DOC_BLOCK.fullmatch(above, comment)
        return (line_start if is_doc_block else end), end
    while lines and _is_doc_comment(lines[-1].strip(), style.line):
        start -= len(lines.pop())
    return start, end


def _is_directive(line: str, language: str) -> bool:
    marks = by_id(language).line_comments
    return any(_DIRECTIVE.match(line.removeprefix(mark)) for mark in marks if line.startswith(mark))


def _is_doc_comment(line: str, mark: str) -> bool:
    """Whether ``line`` is written as text is: a blank follows the mark, as in no directive of Go."""
    return line == mark.rstrip() or (line.startswith(mark) and not _FILE_HEADER.match(line.removeprefix(mark)))


def _is_python(target: Target) -> bool:
    return by_id(target.language) is PYTHON


def _find_python_position(target: Target) -> DocstringPosition:
    """The position before the first statement of the body, or that of the docstring that is there already."""
    lines = [line.rstrip("\r\n") for line in text_lines.split_lines(target.code)]
    definition = _parse_definition(lines)
    if definition is None:
        raise ActionUnavailable(
            "The selected code cannot be parsed as a Python function or class. Correct it, or select one."
        )
    starts = _line_starts(target)
    line_end = text_lines.dominant_line_end(target.text)
    first = definition.body[0]
    decorators = first.decorator_list if isinstance(first, _DEFINITION) else []
    # One line stands above the code when it is parsed, and `ast` counts from 1.
    line = min([first.lineno, *(decorator.lineno for decorator in decorators)]) - 2
    indentation = text_lines.indentation_of(lines[line])
    column = len(indentation) if decorators else _column_in_characters(lines[line], first.col_offset)
    signature = lines[line][:column].rstrip()  # of a function that is written in one line
    has_docstring = _is_string_statement(first)
    last = (first.end_lineno or first.lineno) - 2
    docstring_end = starts[last] + _column_in_characters(lines[last], first.end_col_offset or 0)
    if signature:
        body_indentation = text_lines.indentation_of(lines[0]) + _indent_unit(target)
        start = starts[line] + len(signature)
        if has_docstring:
            return DocstringPosition(start, docstring_end, body_indentation, before=line_end)
        after = f"{line_end}{body_indentation}"
        return DocstringPosition(start, starts[line] + column, body_indentation, before=line_end, after=after)
    if has_docstring:
        return DocstringPosition(starts[line], docstring_end, lines[line][:column])
    while line > 0 and (text_lines.is_blank(lines[line - 1]) or lines[line - 1].lstrip().startswith("#")):
        line -= 1  # a docstring stands right below the signature
    indentation = text_lines.indentation_of(lines[first.lineno - 2])
    return DocstringPosition(starts[line], starts[line], indentation, after=line_end)


def _parse_definition(lines: list[str]) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None:
    """The function or class in ``lines``, parsed with one line above it: a block to be in, if it is indented."""
    is_indented = bool(text_lines.indentation_of(lines[0]))
    tree = _parse("\n".join(["if 1:" if is_indented else "", *lines]))
    node = tree.body[0] if tree and tree.body else None
    if isinstance(node, ast.If) and is_indented:
        node = node.body[0]
    return node if isinstance(node, _DEFINITION) else None


def _is_string_statement(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _indent_unit(target: Target) -> str:
    lines = [line.rstrip("\r\n") for line in text_lines.split_lines(target.text)]
    return CodeLines.read(lines, target.language).dedent().indent_unit() or " " * 4


def _line_starts(target: Target) -> list[int]:
    starts = [target.start]
    for line in text_lines.split_lines(target.code):
        starts.append(starts[-1] + len(line))
    return starts


def _column_in_characters(line: str, column: int) -> int:
    """``ast`` counts columns in bytes of UTF-8."""
    return len(line.encode()[:column].decode())


def _parse(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
