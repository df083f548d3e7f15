"""Next edits that follow from the recent ones without a model: exact or none.

Decides which recent edit is continued: the newest one that has something left to change. The nearest position comes
first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.next_edit.arguments import find_argument_edits
from starcoder_ls.next_edit.imported_names import changes_module_name, find_imported_names
from starcoder_ls.next_edit.renames import find_renames
from starcoder_ls.next_edit.repetitions import find_repetitions
from starcoder_ls.next_edit.source import MAX_SOURCE_CHARS, Source, source_of
from starcoder_ls.next_edit.token_changes import Replacement, locate_edit, same_changes, token_change

_MAX_EDITS = 8
"""How many different recent edits are continued."""


@dataclass(frozen=True, slots=True)
class OpenText:
    """An open document; ``uri`` is that of its edits, ``path`` what patterns of files are compared with."""

    uri: str
    language: str
    text: str
    path: str = ""


def find_next_edits(
    document: OpenText, cursor: int, edits: Sequence[RecentEdit], others: Mapping[str, OpenText]
) -> list[Replacement]:
    """The replacements in ``document`` that follow from one of ``edits``, which are newest first.

    The nearest to ``cursor`` comes first. ``others`` are other open documents by URI. None of the replacements undoes
    what an edit did, and none is where the user is typing.
    """
    if len(document.text) > MAX_SOURCE_CHARS:
        return []
    source = source_of(document.text, document.language)
    own = [edit for edit in edits if edit.uri == document.uri]
    touched = [(edit, span) for edit in own if (span := locate_edit(edit, source.text)) is not None]
    seen: set[tuple[str, str]] = set()
    for edit in edits:
        if len(seen) >= _MAX_EDITS:
            break
        change = token_change(edit, document.text if edit.uri == document.uri else _text_of(edit, others))
        if change is not None and (change.old, change.new) in seen:
            continue
        seen.add((change.old, change.new) if change else (str(edit.start), edit.uri))
        found = _continue_own(source, edit, own) if edit.uri == document.uri else _continue_other(source, edit, others)
        kept = [each for each in found if not _is_touched(each, touched, cursor)]
        if kept:
            return sorted(kept, key=lambda each: abs(each.start - cursor))
    return []


def _continue_own(source: Source, edit: RecentEdit, own: Sequence[RecentEdit]) -> list[Replacement]:
    """What follows in the document in which ``edit`` was made."""
    change = token_change(edit, source.text)
    if change is not None and change.old in source.text:
        changes = same_changes(change, own, source.text)
        found = find_renames(source.text, source.language, changes)
        if found is None:
            found = find_repetitions(source, changes)
        if found:
            return found
    return find_argument_edits(source, edit, [other for other in own if other is not edit])


def _continue_other(source: Source, edit: RecentEdit, others: Mapping[str, OpenText]) -> list[Replacement]:
    """What follows from an edit of another document."""
    other = others.get(edit.uri)
    change = token_change(edit, other.text) if other is not None else None
    if other is None or change is None or change.old not in source.text:
        return []
    if not changes_module_name(other.text, other.language, change):
        return []
    return find_imported_names(source, edit.path, change)


def _text_of(edit: RecentEdit, others: Mapping[str, OpenText]) -> str:
    other = others.get(edit.uri)
    return other.text if other is not None else ""


def _is_touched(
    replacement: Replacement, edits: Sequence[tuple[RecentEdit, tuple[int, int, str]]], cursor: int
) -> bool:
    """Whether ``replacement`` is at the cursor, or would undo one of ``edits``: each with where it is located."""
    if replacement.start <= cursor <= replacement.end:
        return True
    for edit, (start, end, removed) in edits:
        if start >= replacement.end or replacement.start >= end:
            continue
        if replacement.text in (edit.before, removed) or replacement.old == edit.after:
            return True
    return False
