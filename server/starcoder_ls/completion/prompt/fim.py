"""Fill-in-the-middle layouts: the parts of a prompt in the order a model family was trained on.

The family is told by the special tokens a checkpoint has, never by its name. Refuses to know token ids and
where the text comes from.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

from starcoder_ls.completion.prompt.commented_files import commented
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext
from starcoder_ls.errors import ModelUnsupported
from starcoder_ls.generation import PromptPart, SpecialToken

Order = Literal["psm", "spm", "psm_line"]
"""``psm_line`` is PSM with the cursor's line behind the middle's mark, as if the hole began where the line does: models
were trained on more holes there than inside lines, and only text that rarely changes stands before the suffix."""


@dataclass(frozen=True, slots=True)
class Family:
    """How one family marks prefix, suffix and middle, and what ends its answer."""

    name: str
    prefix: str
    suffix: str
    middle: str
    ends: tuple[str, ...] = ()
    """Tokens besides the checkpoint's end-of-text after which nothing belongs to the middle any more."""
    start: str | None = None
    """Put before everything where training did."""
    filename: str | None = None
    """Marks the file's path, inside the prefix, followed by a line end."""
    repository: str | None = None
    """Marks the repository's name, before its files."""
    file: str | None = None
    """Marks where a file of the same repository begins: its path, a line end, its text."""
    has_path_outside: bool = False
    """The last file's path stands before the FIM tokens (Qwen2.5-Coder) and not inside the prefix (StarCoder2)."""
    has_spm: bool = False
    """Trained on SPM variant 2 (arXiv 2207.14255, appendix D): ``<prefix><suffix> suffix <middle> prefix``."""

    def is_in(self, inventory: frozenset[str]) -> bool:
        marks = {self.prefix, self.suffix, self.middle, self.filename, self.start} - {None}
        return marks <= inventory


FAMILIES = (
    Family(
        "starcoder", "<fim_prefix>", "<fim_suffix>", "<fim_middle>",
        ends=("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<filename>", "<reponame>"),
        filename="<filename>", has_spm=True,
    ),
    Family(
        "starcoder2", "<fim_prefix>", "<fim_suffix>", "<fim_middle>",
        ends=("<file_sep>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<repo_name>"),
        repository="<repo_name>", file="<file_sep>", has_spm=True,
    ),
    Family(
        "santacoder", "<fim-prefix>", "<fim-suffix>", "<fim-middle>",
        ends=("<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<fim-pad>"), has_spm=True,
    ),
    Family(
        "qwen2.5-coder", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
        ends=("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>",
              "<|file_sep|>", "<|im_end|>", "<|endoftext|>"),
        repository="<|repo_name|>", file="<|file_sep|>", has_path_outside=True,
    ),
    Family(
        "deepseek-coder", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", start="<｜begin▁of▁sentence｜>",
        ends=("<|EOT|>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ),
    Family("code-llama", "▁<PRE>", "▁<SUF>", "▁<MID>", ends=("▁<EOT>",), start="<s>"),
)  # fmt: skip
"""Sources: bigcode's Megatron-LM and StarCoder2's paper §5, SantaCoder's and DeepSeek-Coder's model cards,
codellama's generation.py, Qwen2.5-Coder's report."""


@dataclass(frozen=True, slots=True)
class PromptParts:
    """What is sent to the model, and what ends its answer."""

    family: str
    order: Order
    parts: tuple[PromptPart, ...]
    ends: tuple[SpecialToken, ...]
    prefix_parts: tuple[int, ...]
    """Indices in ``parts`` of the prefix, in order; none where it is empty."""


@functools.cache
def family_of(inventory: frozenset[str]) -> Family:
    """The family whose marks the tokenizer has. Raises ModelUnsupported for a model without infilling."""
    for family in FAMILIES:
        if family.is_in(inventory):
            return family
    raise ModelUnsupported(
        "This model's tokenizer has no fill-in-the-middle tokens that we know, so it cannot complete inside a file. "
        "Choose a base model of the StarCoder, StarCoder2, SantaCoder, Code Llama, DeepSeek-Coder or Qwen2.5-Coder "
        "family."
    )


def order_of(family: Family, wanted: Order | None) -> Order:
    """SPM where the family was trained on it, unless another is wanted."""
    if wanted is None or (wanted == "spm" and not family.has_spm):
        return "spm" if family.has_spm else "psm_line"
    return wanted


def fim_parts(
    family: Family,
    inventory: frozenset[str],
    prefix: str,
    suffix: str,
    path: str,
    order: Order | None,
    around: PromptContext = NO_CONTEXT,
    language: str = "",
) -> PromptParts:
    """The prompt for a hole between ``prefix`` and ``suffix``; SPM where trained, unless ``order`` says otherwise.

    Empty text parts are left out. ``path`` (may be empty) is given to families that were trained with file names.
    Snippets of other files come as files of their own where the family knows such, else as comments before the prefix.
    """
    chosen = order_of(family, order)
    files, head = _files(family, inventory, around, path)
    if not files:
        head = (SpecialToken(family.filename), f"{path}\n") if family.filename and path else ()
        head = (*head, commented(around.snippets, language))
    above, line = _without_last_line(prefix) if chosen == "psm_line" else (prefix, "")
    before: tuple[PromptPart, ...] = (*head, above)
    parts: tuple[PromptPart, ...]
    if chosen == "spm":
        parts = (
            *files,
            SpecialToken(family.prefix),
            SpecialToken(family.suffix),
            suffix,
            SpecialToken(family.middle),
            *before,
        )
    else:
        parts = (
            *files,
            SpecialToken(family.prefix),
            *before,
            SpecialToken(family.suffix),
            suffix,
            SpecialToken(family.middle),
            line,
        )
    if family.start:
        parts = (SpecialToken(family.start), *parts)
    parts = tuple(part for part in parts if part != "")
    last = len(parts) - 1
    above_at = last if chosen == "spm" else parts.index(SpecialToken(family.suffix)) - 1
    prefix_parts = (*((above_at,) if above else ()), *((last,) if line else ()))
    ends = tuple(SpecialToken(literal) for literal in family.ends if literal in inventory)
    return PromptParts(family.name, chosen, parts, ends, prefix_parts)


def _without_last_line(text: str) -> tuple[str, str]:
    start = text.rfind("\n") + 1
    return text[:start], text[start:]


def _files(
    family: Family, inventory: frozenset[str], around: PromptContext, path: str
) -> tuple[tuple[PromptPart, ...], tuple[PromptPart, ...]]:
    """Snippets as files of the repository, and the head of the prefix; nothing where the family has no such form."""
    if not around.snippets or family.file is None or family.repository is None:
        return (), ()
    if not {family.file, family.repository} <= inventory:
        return (), ()
    ending = "\n" if family.has_path_outside else ""
    files: list[PromptPart] = [SpecialToken(family.repository), (around.repository or "repository") + ending]
    for snippet in around.snippets:
        files += [SpecialToken(family.file), f"{snippet.path}\n{snippet.text}\n"]
    own = f"{path or 'untitled'}\n"
    if family.has_path_outside:
        return (*files, SpecialToken(family.file), own), ()
    return (*files, SpecialToken(family.file)), (own,)
