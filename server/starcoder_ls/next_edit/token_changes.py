"""Recent edits as replacements of whole tokens, and the text as it was before them.

Decides which edits are the same change: those that replaced the same text by the same text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.context.edit_history import RecentEdit

MAX_TOKEN_CHARS = 200
_WORD = re.compile(r"[^\W\d][\w$]*")
_WORD_END, _WORD_START = re.compile(r"[\w$]*\Z"), re.compile(r"[\w$]*")


@dataclass(frozen=True, slots=True)
class TokenChange:
    """``new``, which stands at ``start`` of the text now, replaced ``old``."""

    start: int
    old: str
    new: str

    @property
    def end(self) -> int:
        return self.start + len(self.new)

    @property
    def is_renaming(self) -> bool:
        """Whether a word replaced another word."""
        return bool(_WORD.fullmatch(self.old) and _WORD.fullmatch(self.new))


@dataclass(frozen=True, slots=True)
class Replacement:
    """An edit to propose: ``text`` instead of the characters from ``start`` to ``end``, where ``old`` stands."""

    start: int
    end: int
    old: str
    text: str


def locate_edit(edit: RecentEdit, text: str) -> tuple[int, int, str] | None:
    """Start and end of what ``edit`` wrote into ``text``, and what stood there before, without their common ends.

    None if it is no longer there.
    """
    if edit.start is None or text[edit.start : edit.start + len(edit.after)] != edit.after:
        return None
    before, after, start = edit.before, edit.after, edit.start
    shared = 0
    while shared < min(len(before), len(after)) and before[shared] == after[shared]:
        shared += 1
    before, after, start = before[shared:], after[shared:], start + shared
    while before and after and before[-1] == after[-1]:
        before, after = before[:-1], after[:-1]
    return start, start + len(after), before


def token_change(edit: RecentEdit, text: str) -> TokenChange | None:
    """``edit`` as a change of the whole words that it touches.

    None if it is no longer in ``text``, or has several lines.
    """
    located = locate_edit(edit, text)
    if located is None:
        return None
    start, end, before = located
    left = _matched(_WORD_END, text[max(0, start - MAX_TOKEN_CHARS) : start])
    right = _matched(_WORD_START, text[end : end + MAX_TOKEN_CHARS])
    old, new = left + before + right, left + text[start:end] + right
    if "\n" in old or "\n" in new or old == new or not old or max(len(old), len(new)) > MAX_TOKEN_CHARS:
        return None
    return TokenChange(start - len(left), old, new)


def same_changes(change: TokenChange, edits: Sequence[RecentEdit], text: str) -> list[TokenChange]:
    """The changes among ``edits`` of this document that equal ``change``, by position, with itself."""
    found = {change.start: change}
    for edit in edits:
        other = token_change(edit, text)
        if other is not None and (other.old, other.new) == (change.old, change.new):
            found[other.start] = other
    apart: list[TokenChange] = []
    for start in sorted(found):
        if not apart or apart[-1].end <= start:
            apart.append(found[start])
    return apart


def revert(text: str, changes: Sequence[TokenChange]) -> str:
    """``text`` before ``changes``, which are in order."""
    parts: list[str] = []
    done = 0
    for change in changes:
        parts += text[done : change.start], change.old
        done = change.end
    return "".join((*parts, text[done:]))


def reverted_start(changes: Sequence[TokenChange], index: int) -> int:
    """Where the old text of ``changes[index]`` begins in the reverted text."""
    return changes[index].start - sum(len(each.new) - len(each.old) for each in changes[:index])


def current_offsets(changes: Sequence[TokenChange], offsets: Sequence[int]) -> list[int]:
    """Where characters of the reverted text are now: at ``offsets``, in order, none of them inside a change."""
    found: list[int] = []
    growth = index = 0
    for offset in offsets:
        while index < len(changes) and changes[index].start < offset + growth:
            growth += len(changes[index].new) - len(changes[index].old)
            index += 1
        found.append(offset + growth)
    return found


def _matched(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[0] if found else ""
