"""What an occurrence of a name is: a variable, a member, a keyword, a part of an import, and what it binds.

Decides from the nodes around it, without scopes.
"""

from __future__ import annotations

from typing import Literal

from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.scope_rules import BindingKind, ScopeRules

Role = Literal["variable", "member", "keyword", "imported", "other"]


def classify(node: Node, rules: ScopeRules) -> tuple[Role, BindingKind]:
    """The role of a leaf, and what it binds; empty for a reference."""
    parent = node.parent
    if parent is None:
        return "other", ""
    if parent.type in rules.members and is_field(parent, rules.members[parent.type][1], node):
        return "member", ""
    if node.type in rules.member_leaves:
        name_field = rules.member_bindings.get(parent.type)
        is_definition = name_field is not None and is_field(parent, name_field, node)
        return ("member", "function") if is_definition else ("other", "")
    if parent.type == "keyword_argument" and is_field(parent, "name", node):
        return "keyword", ""
    if parent.type in ("dotted_name", "import_specifier"):
        return _classify_import(node, parent)
    if parent.type == "export_specifier":
        is_local = is_field(parent, "name", node) and not _is_reexport(parent)
        return "variable" if is_local else "other", ""
    ignored = rules.ignored_parents.get(parent.type)
    is_key = parent.type == "literal_element" and parent.parent is not None and is_field(parent.parent, "key", parent)
    if is_key or ignored == "" or (ignored and is_field(parent, ignored, node)):
        return "other", ""
    return "variable", _binding_kind(node, parent, rules)


def renamed(node: Node, old: str, new: str, rules: ScopeRules) -> str:
    """What replaces the leaf ``old`` of a renamed variable. A property or an export of that name keeps it."""
    parent = node.parent
    if node.type in rules.shorthands:
        return f"{old}: {new}"
    if parent is not None and parent.type == "export_specifier" and parent.child_by_field_name("alias") is None:
        return f"{new} as {old}"
    return new


def is_field(parent: Node, name: str, child: Node) -> bool:
    """Whether ``child`` is in the field ``name`` of its parent."""
    return any(found.id == child.id for found in parent.children_by_field_name(name))


def _binding_kind(node: Node, parent: Node, rules: ScopeRules) -> BindingKind:
    """What ``node`` binds, empty if it is a reference."""
    while parent.type in rules.patterns or (parent.type == "tuple" and _is_target(parent)):
        if parent.type == "pair_pattern" and not is_field(parent, "value", node):
            return ""
        if parent.type in ("assignment_pattern", "object_assignment_pattern") and not is_field(parent, "left", node):
            return ""
        if parent.parent is None:
            return ""
        node, parent = parent, parent.parent
    for name_field, kind in rules.bindings.get(parent.type, {}).items():
        if is_field(parent, name_field, node) if name_field else not is_field(parent, "type", node):
            return kind
    return ""


def _is_reexport(specifier: Node) -> bool:
    """Whether an export specifier names what another module exports."""
    statement = specifier.parent.parent if specifier.parent is not None else None
    return statement is not None and statement.child_by_field_name("source") is not None


def _is_target(node: Node) -> bool:
    return node.parent is not None and node.parent.type in ("as_pattern_target", "tuple")


def _classify_import(node: Node, parent: Node) -> tuple[Role, BindingKind]:
    """A name in an import statement, or in a pattern of Python's ``case``."""
    outer = parent.parent
    if parent.type == "import_specifier":
        is_renamed = parent.child_by_field_name("alias") is not None
        is_local = not is_renamed or is_field(parent, "alias", node)
        return ("variable", "import") if is_local else ("imported", "")
    if outer is None:
        return "other", ""
    is_single = parent.named_child_count == 1
    if outer.type in ("case_pattern", "keyword_pattern"):
        return "variable", "variable" if is_single else ""
    if outer.type == "class_pattern":
        return "variable" if parent.named_children[0].id == node.id else "other", ""
    if outer.type == "import_statement" and parent.named_children[0].id == node.id:
        return "variable", "import"
    if outer.type == "import_from_statement" and is_field(outer, "name", parent):
        return "variable", "import"
    if outer.type == "aliased_import" and outer.parent is not None and outer.parent.type == "import_from_statement":
        return "imported", ""
    return "other", ""
