"""Adds imports to the import block of a document: which of those an answer needs are missing, and where they go."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.languages.language import ImportRule
from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.target import Target
from starcoder_ls.syntax.import_names import EVERYTHING, ImportedName, read_imported_names
from starcoder_ls.syntax.items import Item, defined_names

_ENCODING = re.compile(r"#[^\r\n]*?coding[:=]")


def imported_names(items: Iterable[Item], language: str) -> list[ImportedName]:
    """What the import statements among ``items`` bind."""
    return [
        name
        for item in items
        if item.kind == "import" and item.fragment is not None
        for name in read_imported_names(item.fragment, language)
    ]


def find_missing(
    offered: Sequence[ImportedName], used: Collection[str], document: Sequence[Item], language: str
) -> list[ImportedName]:
    """Those of ``offered`` that are ``used`` and that ``document`` neither imports nor defines.

    A name that the document has is kept: the model has not seen where it comes from. Raises AnswerUnusable for an
    import by place, such as `./names`, because a model cannot know the files of a project.
    """
    present = imported_names(document, language)
    known = {name.name for name in present} | defined_names(document)
    statements = {name.statement.rstrip("; ") for name in present}
    missing: dict[str, ImportedName] = {}
    for name in offered:
        is_used = name.name in used or name.name == EVERYTHING
        if is_used and name.name not in known - {EVERYTHING} and not _is_covered(name, statements):
            missing.setdefault(name.statement, name)
    if unknown := [name for name in missing.values() if name.is_relative or name.name == EVERYTHING]:
        raise AnswerUnusable(
            f"The answer needs an import that this file does not have: `{unknown[0].statement}`. Add it yourself and "
            "run the action again, or select more."
        )
    return list(missing.values())


def add_imports(target: Target, document: Sequence[Item], missing: Sequence[ImportedName]) -> list[Change]:
    """The change that adds ``missing`` to the imports at the document's beginning."""
    if not missing:
        return []
    line_end = text_lines.dominant_line_end(target.text)
    statements = list(dict.fromkeys(name.statement for name in missing))
    block = _leading_items(document, target)
    imports = [item for item in block if item.kind == "import"]
    is_go = by_id(target.language).import_rule is ImportRule.GO
    if is_go and imports and target.text[imports[-1].start : imports[-1].end].endswith(")"):
        specs = "".join(f"\t{statement.removeprefix('import ')}{line_end}" for statement in statements)
        at = imports[-1].end - 1
        return [Change(at, at, specs)]
    lines = line_end.join(statements)
    if imports:
        at = _last_line_end(target.text, imports[-1])
        return [Change(at, at, line_end + lines)]
    if block:
        at = _last_line_end(target.text, block[-1])
        return [Change(at, at, line_end * 2 + lines)]
    blank_lines = by_id(target.language).blank_lines_between_functions
    at = len(target.text) - len(target.text.removeprefix("\ufeff"))
    return [Change(at, at, lines + line_end * (1 + blank_lines))]


def _leading_items(document: Sequence[Item], target: Target) -> list[Item]:
    """The comments, headers, docstring and imports that the document begins with, above the target."""
    block: list[Item] = []
    last = 0
    for number, item in enumerate(document):
        if item.start >= target.start or item.kind == "definition" or item.kind == "main":
            break
        is_docstring = item.kind == "other" and target.text[item.start : item.start + 1] in "\"'rR"
        is_header = _is_file_header(target.text, item)
        if item.kind == "other" and not (is_docstring or is_header):
            continue
        block.append(item)
        if item.kind != "comment" or is_header:
            last = len(block)
        elif number == 0 or last == 0:
            below = document[number + 1 : number + 2]
            is_apart = not below or target.text[_content_end(target.text, item) : below[0].start].count("\n") > 1
            last = len(block) if is_apart else last
    return block[:last]


def _is_file_header(text: str, item: Item) -> bool:
    """Whether nothing may stand above it: a shebang, docs of a Rust module, or Python's encoding line (PEP 263)."""
    is_encoding = text.count("\n", 0, item.start) < 2 and _ENCODING.match(text, item.start)
    return text.startswith(("#!", "//!", "/*!"), item.start) or bool(is_encoding)


def _content_end(text: str, item: Item) -> int:
    """The end without the line end that the grammar of Rust counts to a doc comment."""
    return item.start + len(text[item.start : item.end].rstrip())


def _last_line_end(text: str, item: Item) -> int:
    """The end of the line that ``item`` ends on: a comment may follow it."""
    end = _content_end(text, item)
    return end + len(text[end:].partition("\n")[0].rstrip("\r"))


def _is_covered(name: ImportedName, statements: Collection[str]) -> bool:
    """Whether the document has the statement itself, or imports everything of its Java package."""
    statement = name.statement.rstrip("; ")
    package = statement.rpartition(".")[0]
    return statement in statements or f"{package}.{EVERYTHING}" in statements
