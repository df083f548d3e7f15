"""Which occurrences of a name in a text refer to the same variable, function, class or member.

Decides by scope, from the syntax tree alone. An occurrence whose binding is not certain has no key, so that it is never
taken for a reference.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import tree_sitter

from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.name_roles import Role, classify, is_field
from starcoder_ls.syntax.scope_rules import BindingKind, ScopeRules

Key = tuple[int, int, str]
"""The scope that binds a name: first and last byte and type of its node."""

_WORD_BYTES = frozenset((*b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$", *range(0x80, 0x100)))
MAX_OCCURRENCES = 2_000


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of a name. ``kind`` is what it binds, empty for a reference. ``key`` is None if unknown.

    ``binds_in`` is the scope in which it binds the name, known or not; None for a reference.
    """

    node: Node
    role: Role
    kind: BindingKind = ""
    key: Key | None = None
    binds_in: Key | None = None

    @property
    def start_byte(self) -> int:
        return self.node.start_byte


def node_key(node: Node) -> Key:
    return node.start_byte, node.end_byte, node.type


class NameResolver:
    """Of one text. Occurrences and scopes are found when a name is first requested."""

    def __init__(self, tree: tree_sitter.Tree, source: bytes, rules: ScopeRules) -> None:
        self.root, self.source, self.rules = tree.root_node, source, rules
        self._found: dict[bytes, list[Occurrence]] = {}
        self._bound_in: dict[bytes, set[Key]] = {}

    def text(self, node: Node) -> bytes:
        return self.source[node.start_byte : node.end_byte]

    def occurrences(self, name: bytes) -> list[Occurrence]:
        """All occurrences of ``name`` outside of strings and comments, in order; none if there are too many."""
        if name not in self._found:
            self._found[name] = []  # resolving an object may ask for the same name
            self._found[name] = self._resolve(name)
        return self._found[name]

    def at(self, start_byte: int, end_byte: int) -> Occurrence | None:
        """The occurrence that is exactly between two bytes."""
        name = self.source[start_byte:end_byte]
        return next((found for found in self.occurrences(name) if found.start_byte == start_byte), None)

    def references(self, occurrence: Occurrence) -> list[Occurrence]:
        """The occurrences that mean the same as ``occurrence``, with itself; only itself if that is unknown."""
        if occurrence.key is None:
            return [occurrence]
        return [found for found in self.occurrences(self.text(occurrence.node)) if found.key == occurrence.key]

    def is_bound(self, name: bytes, key: Key) -> bool:
        """Whether the scope ``key`` binds ``name``."""
        return any(found.binds_in == key for found in self.occurrences(name))

    def scope_of(self, name: bytes, at: Node, is_parameter: bool = False) -> Key | None:
        """The innermost scope around ``at`` that binds the variable ``name``, None if it is bound nowhere there."""
        if name not in self._bound_in:
            variables = (found for found in self.occurrences(name) if found.role == "variable")
            self._bound_in[name] = {found.binds_in for found in variables if found.binds_in is not None}
        bound = self._bound_in[name]
        scopes = self._visible_scopes(self._scopes(at, is_parameter)) if bound else []
        return next((key for scope in scopes if (key := node_key(scope)) in bound), None)

    def call_of(self, occurrence: Occurrence) -> Node | None:
        """The call whose function is ``occurrence``, alone or as a member."""
        node, parent = occurrence.node, occurrence.node.parent
        if parent is not None and occurrence.role == "member" and parent.type in self.rules.members:
            node, parent = parent, parent.parent
        if parent is None or parent.type not in self.rules.calls:
            return None
        return parent if is_field(parent, self.rules.calls[parent.type][0], node) else None

    def _resolve(self, name: bytes) -> list[Occurrence]:
        starts = _find_words(self.source, name)
        if len(starts) > MAX_OCCURRENCES:
            return []
        leaves = (self.root.descendant_for_byte_range(start, start + len(name)) for start in starts)
        found = [
            Occurrence(leaf, *classify(leaf, self.rules))
            for start, leaf in zip(starts, leaves, strict=True)
            if leaf is not None and (leaf.start_byte, leaf.end_byte) == (start, start + len(name))
            if leaf.type in self.rules.variables or leaf.type in self.rules.member_leaves
        ]
        return self._with_keys(found)

    def _with_keys(self, found: list[Occurrence]) -> list[Occurrence]:
        """The occurrences with the scopes that bind them."""
        chains = [self._scopes(each.node, each.kind == "parameter") for each in found]
        declared = {
            node_key(chain[0]): statement
            for each, chain in zip(found, chains, strict=True)
            if (statement := each.node.parent) is not None
            and statement.type in ("global_statement", "nonlocal_statement")
        }
        binding_keys = [self._binding_scope(each, chain, declared) for each, chain in zip(found, chains, strict=True)]
        counts = Counter(key for key in binding_keys if key is not None)
        bound_from = self._first_statement_ends(found, binding_keys)
        usable = {key for key, count in counts.items() if count == 1 or self.rules.is_rebinding_same}
        resolved = []
        for each, chain, bound_in in zip(found, chains, binding_keys, strict=True):
            if each.role == "member":
                key = self._member_class(each, chain)
            elif each.role != "variable":
                key = None
            else:
                key = bound_in or self._lookup(chain, counts, declared)
                if not each.kind and key is not None and each.start_byte < bound_from.get(key, 0):
                    key = None
            is_member = key is not None and key[2] in self.rules.classes
            binds_in = key if each.kind else None
            key = key if is_member or key in usable else None
            resolved.append(Occurrence(each.node, each.role, each.kind, key, binds_in))
        return resolved

    def _first_statement_ends(self, found: list[Occurrence], keys: list[Key | None]) -> dict[Key, int]:
        """For each class that binds the name, where the first of these statements ends: before, it means another."""
        ends: dict[Key, int] = {}
        for each, key in zip(found, keys, strict=True):
            if key is not None and key[2] in self.rules.classes and key not in ends:
                ends[key] = each.node.parent.end_byte if each.node.parent is not None else each.node.end_byte
        return ends

    def _binding_scope(self, each: Occurrence, chain: list[Node], declared: dict[Key, Node]) -> Key | None:
        if not each.kind or each.role != "variable":
            return None
        key = node_key(chain[0])
        if key in declared:
            return self._declared_scope(chain, declared[key], {})
        declaration = each.node.parent.parent if each.node.parent is not None else None
        if declaration is not None and declaration.type in self.rules.hoisted:
            return next((node_key(scope) for scope in chain if scope.type in self.rules.functions), node_key(self.root))
        return key

    def _declared_scope(self, chain: list[Node], statement: Node, counts: dict[Key, int]) -> Key | None:
        """The scope of a name that ``statement`` declares as global or nonlocal."""
        if statement.type == "global_statement":
            return node_key(self.root)
        outer = (node_key(scope) for scope in chain[1:] if scope.type in self.rules.functions)
        return next((key for key in outer if key in counts), None)

    def _lookup(self, chain: list[Node], counts: Counter[Key], declared: dict[Key, Node]) -> Key | None:
        for index, scope in enumerate(self._visible_scopes(chain)):
            key = node_key(scope)
            if key in declared:
                return self._declared_scope(chain[index:], declared[key], counts)
            if key in counts:
                return key
        return None

    def _visible_scopes(self, chain: list[Node]) -> list[Node]:
        """``chain`` without the classes around a function."""
        visible, is_in_function = [], False
        for scope in chain:
            if not (is_in_function and scope.type in self.rules.classes):
                visible.append(scope)
            is_in_function = is_in_function or scope.type in self.rules.functions
        return visible

    def _member_class(self, each: Occurrence, chain: list[Node]) -> Key | None:
        """The class in this text whose member ``each`` is."""
        enclosing = next((scope for scope in chain if scope.type in self.rules.classes), None)
        parent = each.node.parent
        if parent is None or parent.type not in self.rules.members:
            return node_key(enclosing) if enclosing is not None else None
        owner = parent.child_by_field_name(self.rules.members[parent.type][0])
        if owner is None:
            return None
        name = self.text(owner)
        if name.decode("utf-8", "replace") in self.rules.self_names:
            return node_key(enclosing) if enclosing is not None else None
        if owner.type not in self.rules.variables:
            return None
        owner_found = self.at(owner.start_byte, owner.end_byte)
        if owner_found is None or owner_found.key is None:
            return None
        bindings = [found for found in self.occurrences(name) if found.kind and found.key == owner_found.key]
        if len(bindings) != 1 or bindings[0].kind != "class" or bindings[0].node.parent is None:
            return None
        definition = bindings[0].node.parent
        body = definition if definition.type in self.rules.classes else definition.child_by_field_name("body")
        return node_key(body) if body is not None and body.type in self.rules.classes else None

    def _scopes(self, node: Node, is_parameter: bool) -> list[Node]:
        """The scopes around ``node``, innermost first; the root is always the last."""
        scopes: list[Node] = []
        below, child, parent = node, node, node.parent
        while parent is not None:
            fields = self.rules.scopes.get(parent.type)
            if fields is not None and self._is_inside(parent, fields, child, below, is_parameter):
                scopes.append(parent)
                is_parameter = is_parameter and parent.type not in self.rules.functions
            below, child, parent = child, parent, parent.parent
        return scopes or [self.root]

    def _is_inside(self, scope: Node, fields: frozenset[str], child: Node, below: Node, is_parameter: bool) -> bool:
        if "comprehension" in scope.type or scope.type == "generator_expression":
            first = next((part for part in scope.named_children if part.type == "for_in_clause"), None)
            return first is None or first.id != child.id or not is_field(child, "right", below)
        if not fields:
            return True
        if self.rules.is_rebinding_same and not is_parameter:  # Python: defaults and annotations are outside
            return is_field(scope, "body", child)
        return any(is_field(scope, name, child) for name in fields)


def _find_words(source: bytes, name: bytes) -> list[int]:
    """Where ``name`` stands as a whole word. ``bytes.find`` is ten times as fast as a pattern that looks behind."""
    starts: list[int] = []
    start = source.find(name) if name else -1
    while start >= 0:
        end = start + len(name)
        is_whole = _WORD_BYTES.isdisjoint(source[max(0, start - 1) : start] + source[end : end + 1])
        if is_whole:
            starts.append(start)
        start = source.find(name, end if is_whole else start + 1)
    return starts
