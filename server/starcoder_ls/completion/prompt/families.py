"""The model families that can fill in the middle, and how each marks the parts of a prompt.

The family is found by the special tokens that a checkpoint has, never by its name.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from starcoder_ls.errors import ModelUnsupported


@dataclass(frozen=True, slots=True)
class Family:
    """How one family marks prefix, suffix and middle, and what ends its answer."""

    name: str
    prefix: str
    suffix: str
    middle: str
    end_tokens: tuple[str, ...] = ()
    """Tokens besides the checkpoint's end-of-text token that end the middle."""
    start: str | None = None
    """Stands before everything where training had it there."""
    filename: str | None = None
    """Marks the file's path, inside the prefix, followed by a line end."""
    repository: str | None = None
    """Marks the repository's name, before its files."""
    file: str | None = None
    """Marks where a file of the same repository begins: its path, a line end, its text."""
    has_path_outside: bool = False
    """The last file's path stands before the FIM tokens (Qwen2.5-Coder), not inside the prefix (StarCoder2)."""
    has_spm: bool = False
    """Trained on SPM variant 2 (arXiv 2207.14255, appendix D): ``<prefix><suffix> suffix <middle> prefix``."""

    joins_punctuation: bool = False
    """The tokenizer joins a character that is neither letter nor digit with the letters after it, as in ``.append``,
    and punctuation with punctuation, so that token healing has to remove it too."""

    def is_supported_by(self, special_tokens: frozenset[str]) -> bool:
        """Whether a tokenizer with these special tokens has all that the family needs."""
        required = {self.prefix, self.suffix, self.middle, self.filename, self.start} - {None}
        return required <= special_tokens


FAMILIES = (
    Family(
        "starcoder", "<fim_prefix>", "<fim_suffix>", "<fim_middle>",
        end_tokens=("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<filename>", "<reponame>"),
        filename="<filename>", has_spm=True,
    ),
    Family(
        "starcoder2", "<fim_prefix>", "<fim_suffix>", "<fim_middle>",
        end_tokens=("<file_sep>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<repo_name>"),
        repository="<repo_name>", file="<file_sep>", has_spm=True,
    ),
    Family(
        "santacoder", "<fim-prefix>", "<fim-suffix>", "<fim-middle>",
        end_tokens=("<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<fim-pad>"), has_spm=True,
    ),
    Family(
        "qwen2.5-coder", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>",
        end_tokens=("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|repo_name|>",
                    "<|file_sep|>", "<|im_end|>", "<|endoftext|>"),
        repository="<|repo_name|>", file="<|file_sep|>", has_path_outside=True, joins_punctuation=True,
    ),
    Family(
        "deepseek-coder", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", start="<｜begin▁of▁sentence｜>",
        end_tokens=("<|EOT|>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    ),
    Family("code-llama", "▁<PRE>", "▁<SUF>", "▁<MID>", end_tokens=("▁<EOT>",), start="<s>"),
)  # fmt: skip
"""Sources: bigcode's Megatron-LM and StarCoder2's paper §5, SantaCoder's and DeepSeek-Coder's model cards,
codellama's generation.py, Qwen2.5-Coder's report."""


@functools.cache
@functools.lru_cache(maxsize=16)
def find_family(special_tokens: frozenset[str]) -> Family:
    """The first family that a tokenizer with ``special_tokens`` supports.

    Raises ModelUnsupported if the tokenizer has the fill-in-the-middle tokens of no known family.
    """
    for family in FAMILIES:
        if family.is_supported_by(special_tokens):
            return family
    raise ModelUnsupported(
        "This model's tokenizer has no fill-in-the-middle tokens that we know, so it cannot complete inside a file. "
        "Choose a base model of the StarCoder, StarCoder2, SantaCoder, Code Llama, DeepSeek-Coder or Qwen2.5-Coder "
        "family."
    )
