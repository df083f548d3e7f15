"""A description as the docstring of a Python function or the doc comment of any other.

Decides which words of an answer are the description, where it goes and how the language writes it. Refuses to know
models and protocols.
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
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.target import Target

_WIDTH = 96
_LITERAL = re.compile(r"[rRuU]?(\"\"\"|''')(.*?)(\1|\Z)", re.DOTALL)
_SENTENCES = re.compile(r".*[.!?](?=\s|\Z)", re.DOTALL)
_INTRODUCTION = re.compile(
    r"(?:Here|Sure|Certainly|Of course|The docstring|Docstring)\b[^\n]*:[ \t]*(?:\n|\Z)", re.IGNORECASE
)
_MARKS = re.compile(r"[ \t]*(?:/\*\*?|\*/|\*|///?!?|#|--[-|]?|;;+)?[ \t]?")
_BLOCK_ABOVE = re.compile(r"/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*(?:\r\n?|\n)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a description goes: ``start`` .. ``end`` is replaced by it, between ``before`` and ``after``."""

    start: int
    end: int
    indent: str
    before: str = ""
    after: str = ""


def place(target: Target) -> Place:
    """Raises ActionUnavailable where the language or the code has no place for one; ask before asking a model."""
    if _is_python(target):
        return _in_python(target)
    style = by_id(target.language).doc_comment
    if style is None:
        what = f"No style of doc comment is known here for {target.language}."
        unknown = "It is not known which language this code is in. Say it (in a terminal: `--language python`)."
        raise ActionUnavailable(what if target.language else unknown)
    end = text_lines.line_end(target.text)
    indent = text_lines.indent(target.code)
    return Place(_comment_above(target, style), target.start, indent, after=end)


def written(target: Target, where: Place, words: str) -> list[Change]:
    """``words`` (lines, as they should read) as the change that puts them there; none if they are there already."""
    end = text_lines.line_end(target.text)
    style = by_id(target.language).doc_comment
    rows = _comment(words, style) if style else _python_literal(words)
    indented = [f"{where.indent}{row}".rstrip() for row in rows]
    text = f"{where.before}{end.join(indented)}{where.after}"
    is_same = target.text[where.start : where.end] == text
    return [] if is_same else [Change(where.start, where.end, text)]


def description_in(said: str, target: Target, is_cut: bool) -> str:
    """What an answer describes: by a docstring in code, a literal, a comment, or plain words. Raises AnswerUnusable."""
    blocks = [fence.code for fence in answer_parsing.fences(said)]
    found = next((text for code in (*blocks, said) if (text := _quoted(code))), "")
    if not found and blocks and not _is_python(target):
        found = _commented(blocks[0])
    if not found:
        found = _commented(said) if _is_comment(said) else _words(said)
    if is_cut:
        sentences = _SENTENCES.match(found)
        found = sentences[0] if sentences else ""
        if not found:
            raise AnswerUnusable(
                "The answer was cut before its first sentence ended. Raise `max_new_tokens` of the action."
            )
    if not found.strip():
        raise AnswerUnusable("The model described nothing. Select the whole function, or try again.")
    return "\n".join(_wrapped(found.strip(), _WIDTH - len(text_lines.indent(target.code))))


def _quoted(code: str) -> str:
    """What the docstring of the first function or class in ``code`` says, else its first literal in three quotes."""
    tree = _tree(inspect.cleandoc(code))
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            text := ast.get_docstring(node)
        ):
            return text
    literal = _LITERAL.search(code)
    if literal is None:
        return ""
    tree = _tree(literal[0]) if literal[3] else None
    value = tree.body[0].value if tree and tree.body and isinstance(tree.body[0], ast.Expr) else None
    text = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else literal[2]
    return inspect.cleandoc(text)


def _is_comment(said: str) -> bool:
    rows = [row.strip() for row in said.strip().split("\n")]
    return all(row.startswith(("/*", "*", "//", "#", "--", ";;")) for row in rows if row)


def _commented(said: str) -> str:
    """The words of the comment that a text begins with."""
    kept = []
    for row in said.strip().split("\n"):
        if not row.strip().startswith(("/*", "*", "//", "#", "--", ";;")):
            break
        marks = _MARKS.match(row)
        kept.append(row[marks.end() if marks else 0 :].removesuffix("*/").rstrip())
    return "\n".join(kept).strip()


def _words(said: str) -> str:
    """Plain words up to the first code; quotes around them and an introduction before them go."""
    said = _INTRODUCTION.sub("", said.strip(), count=1)
    said = re.split(r"(?m)^[ \t]*(?:```|~~~|@|def |async def |class )", said, maxsplit=1)[0].strip()
    if len(said) > 1 and said[0] == said[-1] and said[0] in "\"'":
        said = said[1:-1]
    return said.strip()


def _wrapped(text: str, width: int) -> list[str]:
    rows: list[str] = []
    for row in text.split("\n"):
        is_long = len(row) > width and not row.startswith((" ", "\t"))
        rows += textwrap.wrap(row, width, break_long_words=False, break_on_hyphens=False) if is_long else [row.rstrip()]
    return rows


def _python_literal(words: str) -> list[str]:
    text = words.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    rows = text.split("\n")
    if len(rows) == 1:
        is_quote_bare = words.endswith('"') and not words.endswith('"""')
        return [f'"""{text[:-1]}\\""""' if is_quote_bare else f'"""{text}"""']
    return [f'"""{rows[0]}', *rows[1:], '"""']


def _comment(words: str, style: DocComment) -> list[str]:
    rows = [f"{style.line}{row}".rstrip() for row in words.replace("*/", "* /").split("\n")]
    return [*([style.opening] if style.opening else []), *rows, *([style.closing] if style.closing else [])]


def _comment_above(target: Target, style: DocComment) -> int:
    """Where the doc comment that is there already begins, else where the target does."""
    above = target.text[: target.start]
    if style.opening:
        begin = max(above.rfind("/**"), 0)
        first = max(above.rfind("\n", 0, begin), above.rfind("\r", 0, begin)) + 1
        is_alone = text_lines.is_blank(above[first:begin]) and _BLOCK_ABOVE.fullmatch(above, begin)
        return first if is_alone else target.start
    start = target.start
    for row in reversed(text_lines.split(above)):
        if not row.lstrip().startswith(style.line.strip()) or row.startswith("#!"):
            break
        start -= len(row)
    return start


def _is_python(target: Target) -> bool:
    return by_id(target.language) is PYTHON


def _in_python(target: Target) -> Place:
    rows = [row.rstrip("\r\n") for row in text_lines.split(target.code)]
    starts = _row_starts(target)
    tree = _tree("\n".join(["if 1:", *rows])) if text_lines.indent(rows[0]) else _tree("\n".join(["", *rows]))
    inner = tree.body[0] if tree and tree.body else None
    node = inner.body[0] if isinstance(inner, ast.If) and text_lines.indent(rows[0]) else inner
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        raise ActionUnavailable("This is no function or class that can be read as Python. Correct it, or select one.")
    first = node.body[0]
    last_end = text_lines.line_end(target.text)
    decorators = (
        first.decorator_list if isinstance(first, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else []
    )
    row = min([first.lineno, *(decorator.lineno for decorator in decorators)]) - 2
    column = _chars(rows[row], first.col_offset) if not decorators else len(text_lines.indent(rows[row]))
    signature = rows[row][:column].rstrip()
    is_described = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    last = (first.end_lineno or first.lineno) - 2
    described_end = starts[last] + _chars(rows[last], first.end_col_offset or 0)
    if signature:
        indent = text_lines.indent(rows[0]) + (
            text_lines.step(text_lines.without_margin([r.rstrip("\r\n") for r in text_lines.split(target.text)]))
            or " " * 4
        )
        begin = starts[row] + len(signature)
        if is_described:
            return Place(begin, described_end, indent, before=last_end)
        return Place(begin, starts[row] + column, indent, before=last_end, after=f"{last_end}{indent}")
    if is_described:
        return Place(starts[row], described_end, rows[row][:column])
    while row > 0 and (text_lines.is_blank(rows[row - 1]) or rows[row - 1].lstrip().startswith("#")):
        row -= 1  # a docstring comes right after the signature
    return Place(starts[row], starts[row], text_lines.indent(rows[first.lineno - 2]), after=last_end)


def _row_starts(target: Target) -> list[int]:
    starts = [target.start]
    for row in text_lines.split(target.code):
        starts.append(starts[-1] + len(row))
    return starts


def _chars(row: str, column: int) -> int:
    """``ast`` counts columns in bytes of UTF-8."""
    return len(row.encode()[:column].decode())


def _tree(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
