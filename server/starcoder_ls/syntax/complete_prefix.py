"""Cuts unfinished code after its last complete statement and closes the blocks that are still open there.

Where a language has no grammar, the unfinished last line alone is removed.
"""

from __future__ import annotations

import re

from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import PYTHON, by_id
from starcoder_ls.syntax import brackets, grammars
from starcoder_ls.syntax.grammars import Node

_MAX_REMOVED_LINES = 60
_PARSE_BUDGET_MS = 50.0
_BLOCK_NODES = re.compile(
    r"program|source_file|module|translation_unit|(.*_)?(block|body)|compound_statement"
    r"|(statement|declaration)_list"
)
_CLOSER_OF = dict(zip(brackets.OPENERS, brackets.CLOSERS, strict=True))


def complete_prefix(code: str, language_id: str) -> str:
    """The longest beginning of ``code`` that ends with a complete statement, with its open blocks closed.

    The last line counts as unfinished. Empty if no statement is complete, or none of the last 60 lines ends one.
    """
    language = by_id(language_id)
    lines = code.split("\n")[:-1]
    if not language.grammar:
        return "\n".join(lines).rstrip()
    for _ in range(min(len(lines), _MAX_REMOVED_LINES)):
        if _may_end_statement(lines[-1], language):
            closed = _close_blocks(lines, language_id)
            if closed is not None:
                return closed
        lines.pop()
    return ""


def _may_end_statement(line: str, language: Language) -> bool:
    """Whether ``line`` can be the last one: no comment, and no beginning of a block."""
    stripped = line.strip()
    openers = (*brackets.OPENERS, ",", "\\", ":") if language is PYTHON else (*brackets.OPENERS, ",")
    comments = (*language.line_comments, *(opening for opening, _ in language.block_comments))
    return bool(stripped) and not stripped.endswith(openers) and not stripped.startswith(comments)


def _close_blocks(lines: list[str], language_id: str) -> str | None:
    """``lines`` with closing brackets; None if that is not valid or the last line is inside of a statement."""
    language = by_id(language_id)
    open_lines: list[int] = []  # of each open bracket the line that opened it
    state = brackets.ScanState()
    text = ""
    for number, line in enumerate(lines):
        text += line + "\n"
        state = brackets.scan_incrementally(text, language)
        del open_lines[len(state.open_brackets) :]
        open_lines += [number] * (len(state.open_brackets) - len(open_lines))
    if not state.is_code or state.unmatched_closers:
        return None
    closers: dict[int, str] = {}
    for number, bracket in zip(reversed(open_lines), reversed(state.open_brackets), strict=True):
        closers[number] = closers.get(number, "") + _CLOSER_OF[bracket]
    code = "\n".join(lines)
    closing = "".join(f"\n{_indentation(lines[number])}{closer}" for number, closer in closers.items())
    return code + closing if _ends_statement(code, closing, language_id) else None


def _ends_statement(code: str, closing: str, language_id: str) -> bool:
    source = grammars.encode(code)
    tree = grammars.parse(source + grammars.encode(closing or "\n"), language_id, _PARSE_BUDGET_MS)
    if tree is None or tree.root_node.has_error:
        return False
    around: Node | None = tree.root_node.named_descendant_for_byte_range(len(source), len(source) + 1)
    return around is not None and _BLOCK_NODES.fullmatch(around.type) is not None


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
