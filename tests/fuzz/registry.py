"""The fuzzing harnesses, and the inputs that each of them is run on by the tests.

A harness is a module with ``check(data)``, which raises if something that must hold does not, ``SEEDS`` to begin with,
and ``MAX_BYTES`` of an input. ``MORE_SEEDS`` makes seeds for the fuzzer only, and ``dictionaries`` has the tokens that
it inserts. A harness does not know the fuzzer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HARNESSES: Mapping[str, Sequence[str]] = {
    "framing": ("starcoder_ls",),
    "text_sync": ("starcoder_ls",),
    "settings_sources": ("starcoder_ls", "tomllib"),
    "ignore_patterns": ("starcoder_ls",),
    "secret_masking": ("starcoder_ls",),
    "checkpoint_files": ("starcoder_ls",),
    "adapter_files": ("starcoder_ls",),
    "tokenizer_file": ("starcoder_ls",),
    "prompt_templates": ("starcoder_ls",),
    "chat_templates": ("starcoder_ls", "jinja2"),
    "suggestions": ("starcoder_ls",),
    "explanations": ("starcoder_ls",),
    "answer_edits": ("starcoder_ls",),
}
"""Name -> the packages whose branches guide the fuzzer. Not markdown_it for explanations: its branches are so many that
recording them takes six times as long as the check."""

INPUTS = Path(__file__).parent / "inputs"


@dataclass(frozen=True)
class Harness:
    name: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    more_seeds: Callable[[], Sequence[bytes]]
    dictionary: Path
    max_bytes: int


def load(name: str) -> Harness:
    """The harness ``name``, imported now: a fuzzer must have its hooks in place before."""
    module = importlib.import_module(f"fuzz.harnesses.{name}")
    dictionary = Path(__file__).parent / "dictionaries" / f"{name}.dict"
    more_seeds: Callable[[], Sequence[bytes]] = getattr(module, "MORE_SEEDS", list)
    return Harness(name, module.check, module.SEEDS, more_seeds, dictionary, module.MAX_BYTES)


def kept_inputs(name: str) -> dict[str, bytes]:
    """File name -> the inputs that were found once and are now regression tests."""
    return {file.name: file.read_bytes() for file in sorted((INPUTS / name).glob("*")) if file.is_file()}
