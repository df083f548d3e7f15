"""The subject of a commit that the recent edits begin and the next edit continues.

Decides the wording by what each edit did, as subjects of real commits are worded: "Rename size to count".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.hidden_characters import strip_hidden_characters

_MAX_EDITS = 2
_MAX_PART_CHARS, _MAX_SUBJECT_CHARS = 48, 120
_WORD = re.compile(r"[^\W\d][\w$]*")
_SYMBOL_KINDS = (re.compile(r"[\w$]"), re.compile(r"[-+*/%<>=!&|^~]"))
_DEFINITION = re.compile(r"\b(?:def|class|func|fn|function|interface|struct|enum)\s+(?:\([^)]*\)\s*)?([^\W\d]\w*)")
_OUTER_SYMBOLS = " \t,;:(){}[]=+|&"


def write_subject(edits: Sequence[RecentEdit]) -> str:
    """What ``edits``, newest first, did; empty if they changed nothing but blanks. Secrets are masked."""
    clauses: list[str] = []
    for edit in edits:
        clause = _describe(mask_secrets(edit.lines_before), mask_secrets(edit.lines_after))
        if clause and clause not in clauses:
            clauses.append(clause)
        if len(clauses) == _MAX_EDITS:
            break
    subject = " and ".join([*clauses[:1], *(clause[:1].lower() + clause[1:] for clause in clauses[1:])])
    return strip_hidden_characters(subject).replace("\n", " ")[:_MAX_SUBJECT_CHARS].rstrip()


def _describe(before: str, after: str) -> str:
    """One edit, from its lines before and after it; empty if only blanks changed."""
    if "".join(before.split()) == "".join(after.split()):
        return ""
    if "\n" not in before + after:
        old, new = _differing_words(before, after)
        if _WORD.fullmatch(old) and _WORD.fullmatch(new):
            return f"Rename {old} to {new}"
    else:
        old_lines, new_lines = _differing_lines(before, after)
        if len(old_lines) == len(new_lines) == 1:
            return _describe(old_lines[0], new_lines[0])
        old, new = _name_or_first(old_lines), _name_or_first(new_lines)
    old, new = _shorten(old), _shorten(new)
    if old and new:
        return f"Change {old} to {new}" if old != new else f"Change {new}"
    return f"Add {new}" if new else f"Remove {old}"


def _differing_words(before: str, after: str) -> tuple[str, str]:
    """What differs between two lines, as whole words."""
    first = 0
    while first < min(len(before), len(after)) and before[first] == after[first]:
        first += 1
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    inserted, rest = (old or new)[:1] + (new or old)[:1], (old or new)[-1:] + (new or old)[-1:]
    head = _adjoining(after[:first][::-1], inserted)[::-1]
    tail = _adjoining(after[len(after) - last :], rest)
    return head + old + tail, head + new + tail


def _adjoining(text: str, symbols: str) -> str:
    """The beginning of ``text`` that forms one word or operator with one of ``symbols``."""
    kind = next((kind for kind in _SYMBOL_KINDS if kind.search(symbols) and kind.match(text)), None)
    end = next((at for at, symbol in enumerate(text) if kind is None or not kind.match(symbol)), len(text))
    return text[:end]


def _differing_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that only one of two texts has."""
    old_lines, new_lines = before.split("\n"), after.split("\n")
    old = [line for line in old_lines if line.strip() and line not in new_lines]
    new = [line for line in new_lines if line.strip() and line not in old_lines]
    return old, new


def _name_or_first(lines: Sequence[str]) -> str:
    """The name of a definition in ``lines``; the first line if there is none."""
    found = _DEFINITION.search("\n".join(lines))
    return found[1] if found else lines[0] if lines else ""


def _shorten(text: str) -> str:
    """``text`` without symbols at its ends, cut at a blank where it is long."""
    text = " ".join(text.split())
    text = text.strip(_OUTER_SYMBOLS) if re.search(r"\w", text) else text
    return text if len(text) <= _MAX_PART_CHARS else text[:_MAX_PART_CHARS].rpartition(" ")[0] or text[:_MAX_PART_CHARS]
