"""Splits a text into its statements at the margin: definitions with their members, imports, and what is neither.

The node names of the grammars are here. Languages without an entry, and texts with syntax errors, have no items.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars
from starcoder_ls.syntax.grammars import Node

ItemKind = Literal["definition", "import", "main", "comment", "header", "other"]

PARSE_BUDGET_MS = 400.0
"""Actions take seconds, and a document of 1 MB is parsed in 0.2 s."""

_MAX_DEPTH = 3
"""Of members within members."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A node with the source that it was parsed from: tree-sitter itself does not keep it."""

    node: Node
    source: bytes

    def text_of(self, node: Node) -> str:
        """The text of ``node``, which is of the same tree."""
        return _text_of(node, self.source)

    def names(self) -> set[str]:
        """The identifiers in it, those of members and keyword arguments too."""
        names, pending = set(), [self.node]
        while pending:
            child = pending.pop()
            if child.child_count:
                pending.extend(child.children)
            elif child.type.endswith("identifier"):
                names.add(self.text_of(child))
        return names


@dataclass(frozen=True, slots=True)
class Item:
    """A statement from the offset ``start`` to ``end``. ``name`` is that of a definition, or of a value that is set.

    ``head_end``: decorators, modifiers, `export` and attributes stand before it. ``is_type``: a class or the like.
    """

    kind: ItemKind
    start: int
    end: int
    name: str = ""
    head_end: int = 0
    is_type: bool = False
    members: tuple[Item, ...] = ()
    fragment: Fragment | None = field(default=None, compare=False, repr=False)

    @property
    def is_method(self) -> bool:
        """Whether it is written as only a member of a class can be, without a keyword for functions."""
        return self.fragment is not None and self.fragment.node.type == "method_definition"


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The node types of a grammar. ``heads``: what may stand before a definition, inside of its node."""

    functions: frozenset[str]
    types: frozenset[str]
    imports: frozenset[str]
    headers: frozenset[str] = frozenset()
    bodies: frozenset[str] = frozenset()
    heads: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()


_SCRIPT = _Nodes(
    functions=frozenset(
        ("function_declaration", "generator_function_declaration", "method_definition", "function_signature")
    ),
    types=frozenset(f"{kind}_declaration" for kind in ("class", "abstract_class", "interface", "enum", "type_alias")),
    imports=frozenset(("import_statement",)),
    bodies=frozenset(("class_body",)),
    values=frozenset(("lexical_declaration", "variable_declaration", "public_field_definition", "field_definition")),
)
_NODES: dict[str, _Nodes] = {
    "tree_sitter_python": _Nodes(
        functions=frozenset(("function_definition",)),
        types=frozenset(("class_definition",)),
        imports=frozenset(("import_statement", "import_from_statement", "future_import_statement")),
        bodies=frozenset(("block",)),
        values=frozenset(("assignment",)),
    ),
    "tree_sitter_javascript": _SCRIPT,
    "tree_sitter_typescript:language_typescript": _SCRIPT,
    "tree_sitter_typescript:language_tsx": _SCRIPT,
    "tree_sitter_go": _Nodes(
        functions=frozenset(("function_declaration", "method_declaration")),
        types=frozenset(("type_declaration",)),
        imports=frozenset(("import_declaration",)),
        headers=frozenset(("package_clause",)),
        values=frozenset(("var_declaration", "const_declaration")),
    ),
    "tree_sitter_java": _Nodes(
        functions=frozenset(("method_declaration", "constructor_declaration")),
        types=frozenset(f"{kind}_declaration" for kind in ("class", "interface", "enum", "record", "annotation_type")),
        imports=frozenset(("import_declaration",)),
        headers=frozenset(("package_declaration",)),
        bodies=frozenset(("class_body", "interface_body", "enum_body", "enum_body_declarations")),
        heads=frozenset(("modifiers",)),
        values=frozenset(("field_declaration", "local_variable_declaration")),
    ),
    "tree_sitter_rust": _Nodes(
        functions=frozenset(("function_item", "function_signature_item", "macro_definition")),
        types=frozenset(("struct_item", "enum_item", "trait_item", "impl_item", "mod_item", "type_item", "union_item")),
        imports=frozenset(("use_declaration", "extern_crate_declaration")),
        headers=frozenset(("inner_attribute_item",)),
        bodies=frozenset(("declaration_list",)),
        heads=frozenset(("visibility_modifier",)),
        attributes=frozenset(("attribute_item",)),
        values=frozenset(("const_item", "static_item")),
    ),
}
_FUNCTION_VALUES = frozenset(("arrow_function", "function_expression", "function", "class", "generator_function"))
_MAIN = re.compile(r"if\s*\(?\s*(?:__name__\s*==|['\"]__main__['\"]\s*==|require\.main\s*===?)")
_NAMED = frozenset(("variable_declarator", "type_spec", "var_spec", "const_spec", "type_alias"))
_CLASS_AROUND = ("class _ {\n", "\n}\n")


def has_items(language: str) -> bool:
    """Whether ``read_items`` knows the language."""
    return by_id(language).grammar in _NODES


def read_items(text: str, language: str) -> list[Item] | None:
    """The statements of ``text``, in order; None if the language has no entry or the text has a syntax error.

    Members of a class may stand alone, as an action sends them to a model.
    """
    nodes = _NODES.get(by_id(language).grammar)
    if nodes is None:
        return None
    items = _parse_items(text, language, nodes)
    if items is None and nodes is _SCRIPT:
        before, after = _CLASS_AROUND
        wrapped = _parse_items(before + text + after, language, nodes)
        if wrapped is not None and len(wrapped) == 1:
            return [_shifted(member, -len(before)) for member in wrapped[0].members]
    return items


def find_definitions(items: Iterable[Item]) -> Iterator[Item]:
    """Each definition, and each member of one."""
    for item in items:
        if item.kind == "definition":
            yield item
            yield from find_definitions(item.members)


def defined_names(items: Sequence[Item]) -> set[str]:
    """The names that ``items`` and their members define, those of values at the margin too."""
    return {item.name for item in (*items, *find_definitions(items))}


def _parse_items(text: str, language: str, nodes: _Nodes) -> list[Item] | None:
    source = grammars.encode(text)
    tree = grammars.parse(source, language, PARSE_BUDGET_MS)
    if tree is None or tree.root_node.has_error:
        return None
    return list(_ItemReader(nodes, text, source).read_children(tree.root_node, 0))


class _ItemReader:
    """Reads the items of one source. Offsets are converted from bytes of UTF-8 to characters."""

    def __init__(self, nodes: _Nodes, text: str, source: bytes) -> None:
        self._nodes = nodes
        self._source = source
        self._is_ascii = len(text) == len(source)

    def read_children(self, parent: Node, depth: int) -> Iterator[Item]:
        """The items among the children of ``parent``, which is ``depth`` definitions deep."""
        first_attribute: Node | None = None
        for node in parent.named_children:
            if node.type in self._nodes.attributes:
                first_attribute = first_attribute or node
                continue
            item = self._read_item(node, depth, first_attribute or node)
            if item.kind != "comment":
                first_attribute = None
            yield item

    def _read_item(self, node: Node, depth: int, first: Node) -> Item:
        start, end, nodes = self._offset(first.start_byte), self._offset(node.end_byte), self._nodes
        inner = _without_wrappers(node)
        fragment = Fragment(node, self._source)
        if "comment" in node.type:
            return Item("comment", start, end)
        if node.type in nodes.headers:
            return Item("header", start, end)
        if node.type in nodes.imports or (inner.type in nodes.values and self._is_require(inner)):
            return Item("import", start, end, fragment=fragment)
        if _MAIN.match(self._text(node)[:80]):
            return Item("main", start, end)
        is_type = inner.type in nodes.types
        if is_type or inner.type in nodes.functions or _is_function_value(inner, nodes):
            heads = [child for child in inner.children if child.type in nodes.heads]
            core = (heads[-1].next_sibling if heads else None) or inner
            members = tuple(self._read_members(inner, depth)) if is_type and depth < _MAX_DEPTH else ()
            head_end = self._offset(core.start_byte)
            return Item("definition", start, end, self._name(inner), head_end, is_type, members, fragment)
        return Item("other", start, end, self._name(inner), fragment=fragment)

    def _read_members(self, node: Node, depth: int) -> Iterator[Item]:
        for child in node.children:
            if child.type in self._nodes.bodies:
                yield from self.read_children(child, depth + 1)

    def _name(self, node: Node) -> str:
        """The name that a statement defines or sets; empty if it is none or several."""
        if node.type == "impl_item":
            return " ".join(self._text(node).partition("{")[0].split())
        if node.type == "expression_statement" and node.named_child_count == 1:
            node = node.named_children[0]
        named = next((child for child in node.named_children if child.type in _NAMED), node)
        for field_name in ("name", "property", "left"):
            found = named.child_by_field_name(field_name)
            if found is not None and not found.child_count:
                return self._text(found)
        return ""

    def _is_require(self, node: Node) -> bool:
        value = _value(node)
        is_call = value is not None and value.type == "call_expression"
        function = value.child_by_field_name("function") if value is not None and is_call else None
        return function is not None and self._text(function) == "require"

    def _offset(self, byte: int) -> int:
        return byte if self._is_ascii else len(self._source[:byte].decode("utf-8", "replace"))

    def _text(self, node: Node) -> str:
        return _text_of(node, self._source)


def _text_of(node: Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _without_wrappers(node: Node) -> Node:
    """The definition in an export or below decorators."""
    while node.type in ("export_statement", "decorated_definition"):
        inner = node.child_by_field_name("declaration") or node.child_by_field_name("definition")
        if inner is None:
            break
        node = inner
    return node


def _is_function_value(node: Node, nodes: _Nodes) -> bool:
    """Whether ``node`` declares one name with a function as its value: ``const f = () => 1``."""
    value = _value(node) if node.type in nodes.values else None
    return value is not None and value.type in _FUNCTION_VALUES


def _value(node: Node) -> Node | None:
    declarators = [child for child in node.named_children if child.type == "variable_declarator"]
    if len(declarators) > 1:
        return None
    return (declarators[0] if declarators else node).child_by_field_name("value")


def _shifted(item: Item, by: int) -> Item:
    members = tuple(_shifted(member, by) for member in item.members)
    return replace(item, start=item.start + by, end=item.end + by, head_end=item.head_end + by, members=members)
