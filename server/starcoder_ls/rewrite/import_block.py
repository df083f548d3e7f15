"""Adds imports to the import block of a document: which of those an answer needs are missing, and where they go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.languages.language import ImportRule
from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.target import Target
from starcoder_ls.syntax.import_names import EVERYTHING, ImportedName, read_imported_names
from starcoder_ls.syntax.items import Item, defined_names


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
        at = _statement_end(target.text, imports[-1].end)
        return [Change(at, at, line_end + lines)]
    if block:
        at = _statement_end(target.text, block[-1].end)
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
        if item.kind == "other" and not is_docstring:
            continue
        block.append(item)
        if item.kind != "comment":
            last = len(block)
        elif number == 0 or last == 0:
            below = document[number + 1 : number + 2]
            is_apart = not below or target.text[item.end : below[0].start].count("\n") > 1
            last = len(block) if is_apart or target.text.startswith("#!", item.start) else last
    return block[:last]


def _statement_end(text: str, end: int) -> int:
    """The end of the line that a statement ends on: a comment may follow it."""
    return end + len(text[end:].partition("\n")[0].rstrip("\r"))


def _is_covered(name: ImportedName, statements: Collection[str]) -> bool:
    """Whether the document has the statement itself, or imports everything of its Java package."""
    statement = name.statement.rstrip("; ")
    package = statement.rpartition(".")[0]
    return statement in statements or f"{package}.{EVERYTHING}" in statements
