"""The names that an import statement binds, each with a statement that binds it alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from starcoder_ls.languages.language import ImportRule
from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.items import Fragment

EVERYTHING = "*"
"""The name that an import of all names of a module has."""

_RELATIVE = re.compile(r"from\s+\.|[\"']\.{1,2}/|\buse\s+(?:crate|self|super)\b")
_GO_VERSION = re.compile(r"v\d+")


@dataclass(frozen=True, slots=True)
class ImportedName:
    """``statement`` imports ``name`` only. ``is_relative``: from a file of the same project."""

    name: str
    statement: str
    is_relative: bool = False


def read_imported_names(fragment: Fragment, language: str) -> list[ImportedName]:
    """What an import statement binds; nothing if it is imported for its effects, or is a directive."""
    text = fragment.text_of(fragment.node)
    rule = by_id(language).import_rule
    reader = _READERS.get(rule) if rule is not None else None
    names = list(reader(fragment)) if reader is not None else []
    is_relative = bool(_RELATIVE.search(text))
    return [ImportedName(name, statement, is_relative) for name, statement in names]


def _read_python(fragment: Fragment) -> Iterator[tuple[str, str]]:
    node, text_of = fragment.node, fragment.text_of
    if node.type == "future_import_statement":
        return
    module = node.child_by_field_name("module_name")
    for entry in node.children_by_field_name("name"):
        words = text_of(entry)
        alias = entry.child_by_field_name("alias")
        if module is not None:
            yield (text_of(alias) if alias else words), f"from {text_of(module)} import {words}"
        else:
            yield (text_of(alias) if alias else words.partition(".")[0]), f"import {words}"
    if module is not None and any(child.type == "wildcard_import" for child in node.children):
        yield EVERYTHING, text_of(node)


def _read_script(fragment: Fragment) -> Iterator[tuple[str, str]]:
    node, text_of = fragment.node, fragment.text_of
    text, source = text_of(node), node.child_by_field_name("source")
    clause = next((child for child in node.children if child.type == "import_clause"), None)
    if source is None or clause is None:  # `const a = require("b")`, or an import for its effects
        for name in _pattern_names(fragment) if node.type != "import_statement" else ():
            yield name, text
        return
    end = ";" if text.rstrip().endswith(";") else ""
    keyword = "import type" if any(child.type == "type" for child in node.children) else "import"
    for child in clause.named_children:
        if child.type == "identifier":
            yield text_of(child), f"{keyword} {text_of(child)} from {text_of(source)}{end}"
        elif child.type == "namespace_import":
            yield text_of(child.named_children[-1]), f"{keyword} {text_of(child)} from {text_of(source)}{end}"
        for entry in child.named_children if child.type == "named_imports" else ():
            bound = entry.child_by_field_name("alias") or entry.child_by_field_name("name")
            if bound is not None:
                yield text_of(bound), f"{keyword} {{ {text_of(entry)} }} from {text_of(source)}{end}"


def _pattern_names(fragment: Fragment) -> Iterator[str]:
    """The names in the pattern of ``const PATTERN = require(..)``."""
    text_of = fragment.text_of
    for declarator in fragment.node.named_children:
        pattern = declarator.child_by_field_name("name")
        if pattern is not None and pattern.type == "identifier":
            yield text_of(pattern)
        for entry in pattern.named_children if pattern is not None else ():
            value = entry.child_by_field_name("value")
            yield text_of(value if value is not None else entry)


def _read_go(fragment: Fragment) -> Iterator[tuple[str, str]]:
    pending, text_of = [fragment.node], fragment.text_of
    while pending:
        child = pending.pop(0)
        pending += child.named_children
        path = child.child_by_field_name("path") if child.type == "import_spec" else None
        if path is None:
            continue
        alias = child.child_by_field_name("name")
        parts = text_of(path).strip('"`').split("/")
        last = parts[-2] if len(parts) > 1 and _GO_VERSION.fullmatch(parts[-1]) else parts[-1]
        name = last if alias is None else text_of(alias)
        if name != "_":
            yield (EVERYTHING if name == "." else name), f"import {text_of(child)}"


def _read_java(fragment: Fragment) -> Iterator[tuple[str, str]]:
    text = fragment.text_of(fragment.node)
    yield text.rstrip("; \t").rpartition(".")[2].strip(), text


def _read_rust(fragment: Fragment) -> Iterator[tuple[str, str]]:
    text = fragment.text_of(fragment.node)
    argument = fragment.node.child_by_field_name("argument")
    if argument is None:  # extern crate
        yield text.rstrip("; ").split()[-1], text
        return
    head = text[: text.index("use")] + "use "
    for name, path in _rust_leaves(fragment, argument, ""):
        yield name, f"{head}{path};"


def _rust_leaves(fragment: Fragment, node: Node, path: str) -> Iterator[tuple[str, str]]:
    text = fragment.text_of(node)
    if node.type == "use_list":
        for child in node.named_children:
            yield from _rust_leaves(fragment, child, path)
    elif node.type == "scoped_use_list":
        inner, listed = node.child_by_field_name("path"), node.child_by_field_name("list")
        prefix = path + (f"{fragment.text_of(inner)}::" if inner is not None else "")
        if listed is not None:
            yield from _rust_leaves(fragment, listed, prefix)
    elif node.type == "use_wildcard":
        yield EVERYTHING, path + text
    elif node.type == "self":
        yield path.removesuffix("::").rpartition("::")[2], path.removesuffix("::")
    elif "comment" not in node.type:
        yield re.split(r"::|\s+as\s+", text)[-1], path + text


_READERS = {
    ImportRule.PYTHON: _read_python,
    ImportRule.ECMASCRIPT: _read_script,
    ImportRule.GO: _read_go,
    ImportRule.JVM: _read_java,
    ImportRule.RUST: _read_rust,
}
