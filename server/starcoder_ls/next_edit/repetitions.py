"""After a literal or an expression was replaced: the same replacement where the same text has the same role.

Decides how often a replacement must be seen. A literal that is long enough to be no accident counts at once, everything
else the second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from starcoder_ls.next_edit.source import Source, source_of
from starcoder_ls.next_edit.token_changes import Replacement, TokenChange, revert, reverted_start
from starcoder_ls.syntax.grammars import Node

_MIN_REPEATED = 2
_MIN_STRING_CHARS, _MIN_NUMBER_CHARS = 6, 3
_MAX_ROLE_CHARS = 100
_NUMBER = re.compile(r"integer|float|number|int_literal")
_STRING = re.compile(r"string|char_literal|rune")
_PART_OF_STRING = re.compile(r"content|fragment|string_start|string_end|escape|\"|'")
_LISTS = re.compile(r"argument_list|arguments|list|array|tuple|set|block|module|program|source_file|statement")

_Role = tuple[str, str, str]


def find_repetitions(source: Source, changes: Sequence[TokenChange]) -> list[Replacement]:
    """The replacements in ``source``, the text now, that repeat ``changes``, which all replaced the same text."""
    if any("," in change.new and "," not in change.old for change in changes):  # an element of a list was added
        return []
    before = source_of(revert(source.text, changes), source.language)
    nodes = [_changed_node(before, reverted_start(changes, index), change) for index, change in enumerate(changes)]
    roles = [_role(before, node) for node in nodes if node is not None]
    first = next((node for node in nodes if node is not None), None)
    if first is None or source.tree is None:
        return []
    old = before.text_of(first)
    offset = before.byte_at(reverted_start(changes, nodes.index(first))) - first.start_byte
    change = changes[nodes.index(first)]
    new = old[: len(before.encoded[first.start_byte : first.start_byte + offset].decode("utf-8", "replace"))]
    new += change.new + old[len(new) + len(change.old) :]
    return [
        Replacement(*source.span_of(node), old, new)
        for node in _same_nodes(source, old, first.type)
        if _is_repeated(roles, _role(source, node), old, first) and not _is_done(source, node, old, new)
    ]


def _is_done(source: Source, node: Node, old: str, new: str) -> bool:
    """Whether ``new``, which contains ``old``, stands at ``node`` already."""
    start, end = source.span_of(node)
    offset = new.find(old)
    return offset >= 0 and source.text[max(0, start - offset) : end + len(new) - len(old) - offset] == new


def _is_repeated(roles: Sequence[_Role], role: _Role, old: str, node: Node) -> bool:
    count = roles.count(role)
    if count >= _MIN_REPEATED:
        return True
    return count == 1 and bool(role[2]) and _is_distinctive(old, node.type)


def _is_distinctive(literal: str, node_type: str) -> bool:
    if _NUMBER.search(node_type):
        return len(literal) >= _MIN_NUMBER_CHARS
    return bool(_STRING.search(node_type)) and len(literal) - 2 >= _MIN_STRING_CHARS


def _changed_node(before: Source, start: int, change: TokenChange) -> Node | None:
    """The literal that the change is in, or the node whose text is exactly what was replaced."""
    end = start + len(change.old)
    node = before.node_between(start, end)
    if node is None:
        return None
    while node.parent is not None and _PART_OF_STRING.search(node.type) and _STRING.search(node.parent.type):
        node = node.parent
    if _STRING.search(node.type) or _NUMBER.search(node.type):
        is_docstring = node.parent is not None and node.parent.type == "expression_statement"
        return None if is_docstring or "\n" in before.text_of(node) else node
    return node if before.span_of(node) == (start, end) and node.is_named and "comment" not in node.type else None


def _role(source: Source, node: Node) -> _Role:
    """What surrounds ``node``: the type and field, and what names its purpose: a keyword, a key, a function."""
    parent = node.parent
    if parent is None:
        return node.type, "", ""
    index = next((at for at, child in enumerate(parent.children) if child.id == node.id), 0)
    position = f"{parent.type}.{parent.field_name_for_child(index) or ''}"
    purpose = ""
    outer = parent.parent
    function = outer.child_by_field_name("function") if outer is not None else None
    sibling = parent.named_children[0]
    if function is not None and "argument" in parent.type:
        purpose = f"{source.text_of(function)[:_MAX_ROLE_CHARS]} {parent.named_children.index(node)}"
    elif sibling.id != node.id and not _LISTS.search(parent.type):
        purpose = source.text_of(sibling)[:_MAX_ROLE_CHARS]
    elif parent.type == "keyword_argument" and outer is not None and outer.parent is not None:
        called = outer.parent.child_by_field_name("function")
        purpose = source.text_of(called)[:_MAX_ROLE_CHARS] if called is not None else ""
    return node.type, position, purpose


def _same_nodes(source: Source, old: str, node_type: str) -> Iterator[Node]:
    start = source.text.find(old)
    while start >= 0:
        node = source.node_between(start, start + len(old))
        while node is not None and node.parent is not None and node.type != node_type:
            if source.span_of(node.parent) != (start, start + len(old)):
                break
            node = node.parent
        if node is not None and node.type == node_type and source.span_of(node) == (start, start + len(old)):
            yield node
        start = source.text.find(old, start + len(old))
