"""After a name was changed where another open document defines it: the same change where this document imports it.

Decides by the import statement: its module must have the name of the changed file.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from starcoder_ls.next_edit.source import Source, source_of
from starcoder_ls.next_edit.token_changes import Replacement, TokenChange, revert
from starcoder_ls.syntax import grammars
from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.name_resolution import NameResolver, Occurrence, node_key
from starcoder_ls.syntax.name_roles import renamed

_IMPORTS = ("import_from_statement", "import_statement")


def changes_module_name(text: str, language: str, change: TokenChange) -> bool:
    """Whether ``change``, made in ``text``, is where a name at the top level of the file is defined."""
    source = source_of(revert(text, [change]), language)
    if source.names is None or not change.is_renaming:
        return False
    start = source.byte_at(change.start)
    found = source.names.at(start, start + len(grammars.encode(change.old)))
    is_defined = found is not None and found.kind in ("function", "class", "variable")
    if found is None or not is_defined or found.key != node_key(source.names.root):
        return False
    is_first = all(found.start_byte <= each.start_byte for each in source.names.references(found) if each.kind)
    return is_first and not source.names.is_bound(grammars.encode(change.new), found.key)


def find_imported_names(source: Source, path: str, change: TokenChange) -> list[Replacement]:
    """The replacements in ``source`` after ``change`` at the top level of the file ``path``."""
    names = source.names
    if names is None:
        return []
    old, new, stem = grammars.encode(change.old), grammars.encode(change.new), PurePath(path).stem
    found = names.occurrences(old)
    imported = [each for each in found if _imports_from(names, each, stem)]
    is_new_imported = any(_imports_from(names, each, stem) for each in names.occurrences(new))
    if not imported and not is_new_imported:
        return []
    if not is_new_imported and any(each.kind for each in names.occurrences(new)):
        return []
    keys = {each.key for each in imported if each.kind == "import"}
    if not imported:
        keys = {None}  # its import has the new name already
    targets = [each for each in found if each in imported or (each.role == "variable" and each.key in keys)]
    return [
        Replacement(*source.span_of(each.node), change.old, renamed(each.node, change.old, change.new, names.rules))
        for each in targets
    ]


def _imports_from(names: NameResolver, each: Occurrence, stem: str) -> bool:
    """Whether ``each`` is a name that an import statement takes from a module called ``stem``."""
    if each.role != "imported" and each.kind != "import":
        return False
    node: Node | None = each.node
    while node is not None and node.type not in _IMPORTS:
        if node.type == "aliased_import" and each.role != "imported":
            return False
        node = node.parent
    module = (node.child_by_field_name("module_name") or node.child_by_field_name("source")) if node else None
    if module is None:
        return False
    last = re.split(r"[./]", names.text(module).decode("utf-8", "replace").strip("\"'`"))
    return stem in (last[-1], *(last[-2:-1] if last[-1] in ("js", "ts", "mjs") else ()))
