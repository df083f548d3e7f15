"""After a name was changed where it is defined, or in two places: the other places that mean the same.

Decides by scope. A new name that the scope has already, or a name whose meaning is not certain, gives nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from starcoder_ls.next_edit.source import Source, source_of
from starcoder_ls.next_edit.token_changes import Replacement, TokenChange, current_offsets, revert, reverted_start
from starcoder_ls.syntax import grammars
from starcoder_ls.syntax.call_arguments import find_calls, read_arguments
from starcoder_ls.syntax.name_resolution import Key, NameResolver, Occurrence
from starcoder_ls.syntax.name_roles import renamed

_MIN_REPEATED = 2
_CERTAIN = 8
"""After so many equal changes, a definition with the new name is one that was renamed before; the history is short."""


def find_renames(text: str, language: str, changes: Sequence[TokenChange]) -> list[Replacement] | None:
    """The replacements in ``text`` that follow from ``changes``: the same one, in order of their positions.

    None if what was changed has no known meaning, so that scopes say nothing about it.
    """
    if not changes[0].is_renaming:
        return None
    source = source_of(revert(text, changes), language)
    if source.names is None:
        return None
    old, new = changes[0].old, changes[0].new
    changed = [
        _occurrence_at(source, source.names, reverted_start(changes, index), old) for index in range(len(changes))
    ]
    if not any(occurrence is not None and occurrence.key is not None for occurrence in changed):
        return None
    targets = _all_targets(source.names, [each for each in changed if each is not None], new)
    for occurrence in changed:
        if occurrence is not None:
            targets.pop(occurrence.start_byte, None)
    ordered = [targets[start] for start in sorted(targets)]
    starts = current_offsets(changes, [source.offset_of(target.start_byte) for target in ordered])
    return [
        Replacement(start, start + len(old), old, renamed(target.node, old, new, source.names.rules))
        for target, start in zip(ordered, starts, strict=True)
    ]


def _all_targets(names: NameResolver, changed: Sequence[Occurrence], new: str) -> dict[int, Occurrence]:
    """What must become ``new`` because each of ``changed`` did, by position.

    Of changes with one meaning the others are skipped once all of its references follow from one: a search may have
    many of both.
    """
    targets: dict[int, Occurrence] = {}
    complete: set[tuple[Key | None, str]] = set()
    for occurrence in changed:
        meaning = occurrence.key, occurrence.role
        if meaning in complete:
            continue
        same = [other for other in changed if (other.key, other.role) == meaning]
        found = _targets(names, occurrence, same, new)
        targets.update((each.start_byte, each) for each in found)
        if occurrence.kind != "parameter" and len(found) >= len(names.references(occurrence)):
            complete.add(meaning)
    return targets


def _occurrence_at(source: Source, names: NameResolver, start: int, old: str) -> Occurrence | None:
    return names.at(source.byte_at(start), source.byte_at(start + len(old)))


def _targets(names: NameResolver, changed: Occurrence, same: list[Occurrence], new: str) -> list[Occurrence]:
    """What else must become ``new`` because ``changed`` did, and with it ``same``, all of one meaning."""
    new_name = grammars.encode(new)
    if changed.key is None:
        return []
    references = names.references(changed)
    is_definition = _is_first_binding(changed, references)
    if not is_definition and len(same) < _MIN_REPEATED:
        return []
    visible = {
        each.start_byte: names.scope_of(new_name, each.node, each.kind == "parameter")
        for each in references
        if each.role == "variable"
    }
    if is_definition or names.scope_of(new_name, changed.node) is None:
        is_known = names.is_bound(new_name, changed.key) and len(same) < _CERTAIN
        if is_known or len(set(visible.values())) > 1:  # several: a scope in between binds the new name
            return []
        return references + (_keyword_arguments(names, changed) if changed.kind == "parameter" else [])
    same_scope = visible.get(changed.start_byte)
    return [each for each in references if not each.kind and visible.get(each.start_byte) == same_scope]


def _is_first_binding(changed: Occurrence, references: Sequence[Occurrence]) -> bool:
    """Whether ``changed`` is where the name is defined: of several bindings, the first one."""
    if changed.kind in ("function", "class", "parameter", "import"):
        return True
    if changed.kind == "variable":
        return all(changed.start_byte <= each.start_byte for each in references if each.kind)
    if changed.role != "member" or any(each.kind for each in references):
        return False
    assigned = [each.start_byte for each in references if each.role == "member" and _is_assigned(each)]
    return bool(assigned) and assigned[0] == changed.start_byte


def _is_assigned(member: Occurrence) -> bool:
    access = member.node.parent
    statement = access.parent if access is not None else None
    if access is None or statement is None or statement.type not in ("assignment", "assignment_expression"):
        return False
    left = statement.child_by_field_name("left")
    return left is not None and left.id == access.id


def _keyword_arguments(names: NameResolver, parameter: Occurrence) -> list[Occurrence]:
    """The keyword arguments of this name in calls of the function whose parameter it is."""
    name = names.text(parameter.node)
    found = {each.start_byte: each for each in names.occurrences(name) if each.role == "keyword"}
    if not found:
        return []
    calls = (read_arguments(names, call) or () for call in find_calls(names, parameter.node))
    starts = (argument.node.start_byte for arguments in calls for argument in arguments if argument.keyword == name)
    return [found[start] for start in starts if start in found]
