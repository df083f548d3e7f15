"""Repairs the blocks of code in an answer that is shown: ends one that was cut, and removes from tests what they test.

A small model begins its tests with a copy of the code under test, so that they would test the copy. Definitions that
the document has are therefore removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from starcoder_ls.languages.language import ImportRule
from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite.import_block import imported_names
from starcoder_ls.rewrite.item_removal import remove_items
from starcoder_ls.rewrite.markdown_parser import commonmark_parser
from starcoder_ls.rewrite.target import Target
from starcoder_ls.syntax.complete_prefix import complete_prefix
from starcoder_ls.syntax.items import Item, find_definitions, read_items

_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Block:
    """A fenced block at the margin: its code is the lines from ``start`` to ``end`` of the answer."""

    start: int
    end: int
    mark: str
    language: str
    is_closed: bool


def settled_length(answer: str, may_lose_definitions: bool = False) -> int:
    """The length of the beginning of a partial ``answer`` that no repair changes: up to a block that has not ended.

    ``may_lose_definitions``: up to the first block, because ``remove_known_definitions`` may change each.
    """
    blocks = _find_blocks(answer)
    unsettled = [block for block in blocks if may_lose_definitions or not block.is_closed]
    if not unsettled:
        return len(answer)
    return sum(len(line) + 1 for line in answer.split("\n")[: unsettled[0].start - 1])


def end_last_block(answer: str, language: str, is_cut: bool) -> str:
    """``answer`` with its last block closed; if ``is_cut``, the block ends after its last complete statement.

    ``language`` is that of blocks which do not name theirs.
    """
    last = _find_blocks(answer)[-1:]
    if not last or last[0].is_closed:
        return answer
    [block], lines = last, answer.split("\n")
    code = "\n".join(lines[block.start :])
    kept = complete_prefix(code, block.language or language) if is_cut else code
    return "\n".join([*lines[: block.start], (kept or code).rstrip(), block.mark])


def remove_known_definitions(answer: str, target: Target) -> tuple[str, list[str]]:
    """``answer`` without definitions that the document of ``target`` has, and the names of what was removed.

    These are top-level definitions with the name of one in the document, and copies of the target inside of others.
    A block of which nothing would be left is a quotation and stays as it is.
    """
    document = read_items(target.text, target.language) or []
    own = [item for item in find_definitions(document) if target.start <= item.start and item.end <= target.end]
    known = {(item.name, item.is_type) for item in (*document, *own) if item.kind == "definition" and item.name}
    copies = {_compact(target.text[item.start : item.end]) for item in own}
    lines, names = answer.split("\n"), list[str]()
    for block in reversed(_find_blocks(answer)):
        code = "\n".join(lines[block.start : block.end])
        items = read_items(code, target.language) if _is_in_language(block, target.language) else None
        removed = [item for item in items or () if item.kind == "definition" and (item.name, item.is_type) in known]
        kept = [item for item in items or () if item not in removed]
        removed += [item for item in find_definitions(kept) if _compact(code[item.start : item.end]) in copies]
        if not removed or all(item.kind in ("import", "header", "comment") for item in kept):
            continue
        names = [item.name for item in removed] + names
        unused = _unused_imports(code, kept, removed, target.language)
        everything = sorted({*_with_members(items or ()), *unused}, key=lambda item: item.start)
        lines[block.start : block.end] = remove_items(code, everything, [*removed, *unused]).split("\n")
    return "\n".join(lines), list(dict.fromkeys(names))


def _find_blocks(answer: str) -> list[_Block]:
    """The fenced blocks that are in no list and no quotation."""
    lines, blocks = answer.split("\n"), []
    for token in commonmark_parser().parse(answer):
        if token.type != "fence" or token.map is None or token.level:
            continue
        first, after = token.map
        last_line = lines[min(after, len(lines)) - 1].strip()
        is_mark = set(last_line) == {token.markup[0]} and len(last_line) >= len(token.markup)
        is_closed = after - first > 1 and is_mark
        language = token.info.split()[0].lower() if token.info.split() else ""
        blocks.append(_Block(first + 1, after - 1 if is_closed else len(lines), token.markup, language, is_closed))
    return blocks


def _is_in_language(block: _Block, language: str) -> bool:
    """Whether the block names ``language``, or none that has another grammar."""
    return by_id(block.language).grammar in ("", by_id(language).grammar)


def _compact(code: str) -> str:
    return _BLANKS.sub("", code)


def _with_members(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        yield item
        yield from _with_members(item.members)


def _unused_imports(code: str, kept: Sequence[Item], removed: Sequence[Item], language: str) -> list[Item]:
    """The imports among ``kept`` that only ``removed`` uses: statements, and lines of a block of imports in Go."""
    unused_names = _names_in(removed) - _names_in(item for item in kept if item.kind != "import")
    unused: list[Item] = []
    for item in kept:
        names = imported_names([item], language)
        found = [name for name in names if name.name in unused_names]
        if found and len(found) == len(names):
            unused.append(item)
        for name in found if len(found) < len(names) and by_id(language).import_rule is ImportRule.GO else ():
            start = code.find(name.statement.removeprefix("import "), item.start, item.end)
            unused += [Item("import", start, start + 1)] if start >= 0 else []
    return unused


def _names_in(items: Iterable[Item]) -> set[str]:
    return set[str]().union(*(item.fragment.names() for item in items if item.fragment is not None))
