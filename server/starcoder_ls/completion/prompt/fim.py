"""The fill-in-the-middle layout: the parts of a prompt in the order that a model family was trained on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from starcoder_ls.completion.prompt.commented_files import format_as_comments
from starcoder_ls.completion.prompt.families import Family
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext
from starcoder_ls.generation import PromptPart, SpecialToken

Order = Literal["psm", "spm", "psm_line"]
"""``psm_line`` is PSM with the cursor's line after the middle token, as if the hole began where the line does: models
were trained on more holes there than inside lines, and only text that rarely changes stands before the suffix."""


@dataclass(frozen=True, slots=True)
class PromptParts:
    """The prompt as it is sent to the engine, and what ends the answer."""

    family: str
    order: Order | Literal["left_to_right"]
    parts: tuple[PromptPart, ...]
    end_tokens: tuple[SpecialToken, ...]
    prefix_parts: tuple[int, ...]
    """Indices in ``parts`` of the text before the cursor, in order; none if that is empty."""


def resolve_order(family: Family, requested: Order | None, has_token_healing: bool = True) -> Order:
    """SPM if the family was trained on it, unless another order is requested; never SPM for other families.

    Without token healing these read PSM: after the middle token, the middle would begin with a part of a word, which
    no training example does (docs/quality.md, "A real model").
    """
    if requested is None or (requested == "spm" and not family.has_spm):
        return "spm" if family.has_spm else "psm_line" if has_token_healing else "psm"
    return requested


def build_parts(
    family: Family,
    special_tokens: frozenset[str],
    prefix: str,
    suffix: str,
    path: str,
    order: Order | None,
    context: PromptContext = NO_CONTEXT,
    language: str = "",
) -> PromptParts:
    """The prompt for a hole between ``prefix`` and ``suffix``, in the order that ``resolve_order`` says.

    Empty text parts are left out. ``path`` (may be empty) is included for families that were trained with file names.
    Snippets of other files become files of their own if the family has a mark for these, else comments before the
    prefix.
    """
    order = resolve_order(family, order)
    files, prefix_head = _snippets_as_files(family, special_tokens, context, path)
    if not files:
        comments = format_as_comments(context.snippets, language) if context.snippets else ""
        prefix_head = (*_file_name(family, path), comments)
    above, line = split_last_line(prefix) if order == "psm_line" else (prefix, "")
    marks = _marks(family, special_tokens)
    before: tuple[PromptPart, ...] = (*prefix_head, above)
    parts: tuple[PromptPart, ...]
    if order == "spm":
        parts = (*marks.start, *files, marks.prefix, marks.suffix, suffix, marks.middle, *before)
    else:
        parts = (*marks.start, *files, marks.prefix, *before, marks.suffix, suffix, marks.middle, line)
    parts = tuple([part for part in parts if part])
    last = len(parts) - 1
    above_index = last if order == "spm" else parts.index(marks.suffix) - 1
    prefix_parts = (*((above_index,) if above else ()), *((last,) if line else ()))
    return PromptParts(family.name, order, parts, marks.end_tokens, prefix_parts)


@dataclass(frozen=True, slots=True)
class _Marks:
    """The special tokens of a family; ``end_tokens`` are those that the checkpoint has."""

    start: tuple[SpecialToken, ...]
    prefix: SpecialToken
    suffix: SpecialToken
    middle: SpecialToken
    end_tokens: tuple[SpecialToken, ...]


@functools.lru_cache(maxsize=16)
def _marks(family: Family, special_tokens: frozenset[str]) -> _Marks:
    return _Marks(
        (SpecialToken(family.start),) if family.start else (),
        SpecialToken(family.prefix),
        SpecialToken(family.suffix),
        SpecialToken(family.middle),
        tuple(SpecialToken(literal) for literal in family.end_tokens if literal in special_tokens),
    )


def _file_name(family: Family, path: str) -> tuple[PromptPart, ...]:
    return (SpecialToken(family.filename), f"{path}\n") if family.filename and path else ()


def split_last_line(text: str) -> tuple[str, str]:
    start = text.rfind("\n") + 1
    return text[:start], text[start:]


def _snippets_as_files(
    family: Family, special_tokens: frozenset[str], context: PromptContext, path: str
) -> tuple[tuple[PromptPart, ...], tuple[PromptPart, ...]]:
    """The snippets as files of the repository, and the head of the prefix; both empty if the family has no mark."""
    if not context.snippets or family.file is None or family.repository is None:
        return (), ()
    if not {family.file, family.repository} <= special_tokens:
        return (), ()
    line_end = "\n" if family.has_path_outside else ""
    files: list[PromptPart] = [SpecialToken(family.repository), (context.repository or "repository") + line_end]
    for snippet in context.snippets:
        files += [SpecialToken(family.file), f"{snippet.path}\n{snippet.text}\n"]
    path_line = f"{path or 'untitled'}\n"
    if family.has_path_outside:
        return (*files, SpecialToken(family.file), path_line), ()
    return (*files, SpecialToken(family.file)), (path_line,)
