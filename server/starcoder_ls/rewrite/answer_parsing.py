"""What a model really said: its answer without what it repeats, and the code in it without what it says around it.

Decides where an answer ends and which of its lines are code. Refuses to know documents, edits and engines.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.rewrite import edits, text_lines

_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
_CIRCLES, _CIRCLE_CHARS = 8, 120  # so often, and so many characters of it
_SENTENCE = re.compile(r"(?:[A-Z][a-z']*|I|A)(?:,? \S+){2,}")
_CODE_SIGNS = re.compile(r"[=;{}<>\[\]]|\w\(|\)$")
_BEFORE = re.compile(r"\A(?:[ \t]*\n)*(?: (?=[^ \n]))?")  # blank lines, and the one blank after "Answer:"
_SAID = re.compile(r"(?:[^\W\d_][\w'’-]*[,;:]? +){3,}[\w'’-]+[.!?]?")


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block of code; ``is_closed`` is False where the answer ended inside it."""

    code: str
    is_closed: bool


def body(text: str, head: str, tail: str, code: str = "") -> tuple[str, bool]:
    """The answer proper in ``text``, and whether it is over because the model went on to ask itself something.

    ``head`` and ``tail`` are what stands around a question in the template: a model that begins by repeating the
    question answers after the second ``tail``; one that goes on with another ``head`` has ended before it.
    """
    said, begun = text, text.lstrip()
    if head and (begun.startswith(head) or (begun and head.startswith(begun))):
        _, mark, said = begun.partition(f"\n{tail}")
        if not mark:
            return "", False
    said = _BEFORE.sub("", said)
    if head and (end := re.search(rf"(?m)^[ \t]*{re.escape(head)}", said)):
        return said[: end.start()].strip("\r\n"), True
    if code.strip() and said.lstrip().startswith(code.strip()) and said.lstrip() != code.strip():
        rest = said.lstrip()[len(code.strip()) :]
        if rest.startswith("\n") and rest.strip():
            said = rest
    return said.strip("\r\n"), False


def find_repetition(said: str) -> int | None:
    """Where an answer that ends by saying the same again and again has said it once; None for any other."""
    for length in range(1, _CIRCLE_CHARS):
        times = max(_CIRCLES, -(-_CIRCLE_CHARS // length))
        unit = said[-length:]
        if len(said) >= length * times and said.endswith(unit * times):
            start = len(said) - length * times
            while said[max(0, start - length) : start] == unit:
                start -= length
            return start + length
    return None


def safely_shown(said: str, head: str) -> str:
    """A running answer without an end that may yet turn out to be the next question."""
    last = said.rpartition("\n")[2].lstrip()
    return said[: len(said) - len(last)].rstrip() if last and head.startswith(last) else said


def fences(said: str) -> list[Fence]:
    """Every fenced block, an unclosed one included."""
    rows = said.split("\n")
    found = []
    for token in _PARSER.parse(said):
        if token.type == "fence" and token.map is not None:
            first, after = token.map
            closing = rows[min(after, len(rows)) - 1].strip()
            is_closed = after - first > 1 and set(closing) == {token.markup[0]} and len(closing) >= len(token.markup)
            found.append(Fence(token.content.removesuffix("\n"), is_closed))
    return found


def code_in(said: str, given: str, is_cut: bool) -> str:
    """The code that is meant to stand in place of ``given``. Raises AnswerUnusable with a sentence.

    Of several blocks it is the one most like ``given`` that is not ``given`` itself: the others quote it or use it.
    """
    if not said.strip():
        raise AnswerUnusable("The model answered nothing. Select a little more or less, or ask in other words.")
    blocks = [fence for fence in fences(said) if fence.code.strip()]
    if is_cut:
        blocks = [block for block in blocks if block.is_closed]
        if not blocks:
            raise AnswerUnusable(
                "The answer was cut before its code ended. Select less, or raise `max_new_tokens` of the action."
            )
    if not blocks:
        return _without_words(said, given)
    changed = [block for block in blocks if block.code.strip() != given.strip()] or blocks
    best = max(changed, key=lambda block: _likeness(block.code, given))
    return best.code if best.is_closed else _without_words(best.code, given)


def _likeness(code: str, given: str) -> tuple[float, float]:
    """By lines, then by characters regardless of order; among blocks in place of nothing the longest is meant."""
    if not given:
        return len(code), 0.0
    by_lines = difflib.SequenceMatcher(None, given.split("\n"), code.split("\n"), autojunk=False)
    return by_lines.ratio(), difflib.SequenceMatcher(None, given, code, autojunk=False).quick_ratio()


def _without_words(said: str, given: str) -> str:
    """The lines from the first to the last that are no sentence; what stood in ``given`` is none."""
    rows, known = said.split("\n"), {row.strip() for row in given.split("\n")}
    while rows and (text_lines.is_blank(rows[0]) or _is_said(rows[0], known)):
        rows.pop(0)
    while rows and (text_lines.is_blank(rows[-1]) or _is_said(rows[-1], known)):
        rows.pop()
    code = "\n".join(rows)
    is_said = all(_SAID.fullmatch(row.strip()) for row in rows) and _CODE_SIGNS.search(given)
    if not rows or (is_said and edits.syntax_error(code) is not None):
        raise AnswerUnusable("The model answered in words, not in code. Ask for an explanation instead, or try again.")
    return code


def _is_said(row: str, known: set[str]) -> bool:
    """A line of prose: it begins like a sentence at the margin, and either ends like one or holds no signs of code."""
    if row.strip() in known or row[:1] in " \t" or not _SENTENCE.match(row):
        return row.strip() in ("Answer:", "```")
    return row.rstrip()[-1] in ".:!?" or not _CODE_SIGNS.search(row)
