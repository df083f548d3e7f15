"""What stands at a cursor: code, a string, a comment; inside a call's arguments, at the beginning of a block.

Decides by the tree where it is sound there, by plain rules where a half-typed line has broken it. Refuses to
know models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import brackets, grammars

_MOST_CHARS = 60_000  # 1.5 ms of reading; who is further inside one string is not understood
_TREE_CHARS = 2_000  # on both sides, for the tree: 0.4 ms
STATEMENT_CHARS = 1_200  # parsed between two tokens: 0.1 ms
_STRINGS = re.compile(r"string|template|heredoc|raw_text|char_literal|rune|text$")
_COMMENTS = re.compile(r"comment")
_CODE_IN_STRINGS = re.compile(r"interpolation|substitution|expansion")
_ARGUMENTS = re.compile(r"[\w\])>]\($")

Where = Literal["code", "string", "comment"]


@dataclass(frozen=True, slots=True)
class SyntaxContext:
    """``ends`` is what closes the string or comment that the cursor is in. ``brackets`` are open before the cursor.

    ``is_block``: a line that opens a block stands right above (or before the cursor, where a line end comes first).
    ``is_argument``: the innermost open bracket is that of a call.
    """

    where: Where = "code"
    ends: str = ""
    brackets: str = ""
    is_block: bool = False
    is_argument: bool = False


def at(before: str, after: str, language_id: str) -> SyntaxContext:
    """The spot between two texts, in line feeds; ``before`` should reach back to the document's beginning."""
    language = by_id(language_id)
    state = brackets.read_again(_tail(before), language)
    where: Where = "code" if state.is_code else "comment" if state.is_comment else "string"
    has_tree = bool(language.grammar) and not language.is_prose
    told = _by_tree(before, after, language_id) if has_tree and not _is_certain(state, before, language) else None
    where = told or where
    is_code = where == "code"
    ends = state.ends if (where == "comment") == state.is_comment or is_code else ""
    own = before.rpartition("\n")[2]
    return SyntaxContext(
        where,
        "" if is_code else ends,
        state.brackets,
        is_code and is_block_opened(before, language),
        is_code and state.brackets[-1:] == "(" and bool(_ARGUMENTS.search(_up_to_open(own))),
    )


def _is_certain(state: brackets.State, before: str, language: Language) -> bool:
    """Whether no tree knows better than who has read the text. A tree costs each key 0.3 ms.

    Python, by its own tokenizer at 40,000 cursors of installed packages: where this says so and a tree said otherwise,
    the tree was wrong at 72 and right at 17, all inside the quotes or the prefix that begin a string.
    """
    if state.is_comment and state.ends == "\n":
        return True
    if not language.is_scanner_exact or len(before) > _MOST_CHARS:
        return False
    near = before.rpartition("\n")[2] if len(state.ends) == 1 else before[-_TREE_CHARS:]
    return state.is_code or "{" not in near  # an f-string holds code


def is_block_opened(before: str, language: Language) -> bool:
    """True where the cursor stands on a fresh line below one that opens a block."""
    above, newline, own = before.rpartition("\n")
    if not newline or own.strip():
        return False
    return opens_block(above.rstrip().rpartition("\n")[2], language)


def opens_block(line: str, language: Language) -> bool:
    """Whether ``line`` ends with what opens a block; a comment behind it does not hide that."""
    for mark in language.line_comments:
        code, found, _ = line.partition(f" {mark}")
        if found and brackets.read(code, language).is_code:
            line = code
    return re.search(rf"(?:{language.block_opener})\s*\Z", line) is not None


def is_complete(before: str, text: str, language_id: str) -> bool | None:
    """Whether the statement that ``text`` ends is whole; None where no tree says so.

    ``before`` should come from ``begun_in_code``: what it leaves open is closed for the parser, and only errors from
    the cursor's line on count.
    """
    language = by_id(language_id)
    if not language.grammar or language.is_prose or language.block_end_words:
        return None
    source = before + text.rstrip()
    state = brackets.read(source + "\n", language)
    if not state.is_code:
        return False
    closers = "".join(brackets.CLOSERS[brackets.OPENERS.index(bracket)] for bracket in reversed(state.brackets))
    start = len((before.rpartition("\n")[0]).encode())
    tree = grammars.parsed(f"{source}\n{closers}\n".encode(), language_id)
    return None if tree is None else not _is_broken(tree.root_node, start, len(source.encode()))


def begun_in_code(before: str, language_id: str, most_chars: int = STATEMENT_CHARS) -> str:
    """The end of ``before``, from where it is code: a parser takes the end of a docstring for its begin."""
    if len(before) <= most_chars:
        return before
    language = by_id(language_id)
    cut = before.find("\n", len(before) - most_chars) + 1 or len(before)
    state = brackets.read_again(_tail(before[:cut]), language)
    if state.ends:
        place = before.find(state.ends, cut)
        cut = len(before) if place < 0 else place + len(state.ends)
    return before[cut:]


def _is_broken(node: grammars.Node, start: int, end: int) -> bool:
    """Whether an error or something missing lies between two bytes."""
    if node.is_missing or node.is_error:
        return start <= node.start_byte <= end + 1  # what is missing may be found missing behind the line end
    return node.has_error and any(_is_broken(child, start, end) for child in node.children if child.end_byte >= start)


def _has_error(node: grammars.Node, start: int, end: int) -> bool:
    """Whether an error touches what lies between two bytes."""
    if node.start_byte > end or node.end_byte < start or not (node.has_error or node.is_missing):
        return False
    return node.is_error or node.is_missing or any(_has_error(child, start, end) for child in node.children)


def _tail(before: str) -> str:
    return before if len(before) <= _MOST_CHARS else before[-_MOST_CHARS:].partition("\n")[2]


def _up_to_open(own: str) -> str:
    """The line up to the bracket that is open at its end."""
    depth = 0
    for place in range(len(own) - 1, -1, -1):
        depth += (own[place] in brackets.CLOSERS) - (own[place] in brackets.OPENERS)
        if depth < 0:
            return own[: place + 1]
    return own


def _by_tree(before: str, after: str, language_id: str) -> Where | None:
    """What the node at the cursor is; None where the tree is broken there."""
    head = begun_in_code(before, language_id, _TREE_CHARS)
    if before and not head:  # the cursor is inside something longer
        return None
    source = (head + after[:_TREE_CHARS]).encode()
    tree = grammars.parsed(source, language_id)
    if tree is None:
        return None
    here = len(head.encode())
    line = len(head.rpartition("\n")[0].encode()), here + len(after.partition("\n")[0].encode())
    if _has_error(tree.root_node, *line):
        return None
    where: Where = "code"
    node: grammars.Node | None = tree.root_node.descendant_for_byte_range(here, here)
    while node is not None:
        if node.start_byte < here < node.end_byte and node.is_named:
            if _CODE_IN_STRINGS.search(node.type):
                return where
            if _COMMENTS.search(node.type):
                return "comment"
            if _STRINGS.search(node.type):
                where = "string"
        node = node.parent
    return where
