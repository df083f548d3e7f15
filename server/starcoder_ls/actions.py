"""The actions on code, as data: what is asked of a model and what its answer becomes.

Decides the built-in ones and what makes one valid. Refuses to know how prompts are put together, editors, models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

PLACEHOLDERS = ("instruction", "language", "code", "diagnostics", "file")
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_KIND = re.compile(r"(starcoder|refactor)(\.[A-Za-z0-9_-]+)+|quickfix(\.[A-Za-z0-9_-]+)*")

Becomes = Literal["text", "replacement", "docstring", "insertion"]


class Action(BaseModel):
    """One action on code, built in (`explain`, `document`, `fix`, `test`, `simplify`, `rewrite`, `ask`) or your own; a
    table of a built-in name changes only what it names."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    enabled: bool = True
    """Offer it at all."""

    title: str = Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
    """What the editor's menu shows."""

    instruction: str = Field(min_length=1)
    """What the model is asked. `{language}`, `{file}`, `{code}`, `{diagnostics}` and `{instruction}` (what the user
    types) are filled in; without `{code}` the code follows on its own lines."""

    becomes: Becomes = "replacement"
    """What the answer becomes: `text` to read, `replacement` of the code, `docstring` of the function, or `insertion`
    below the code."""

    kind: str = ""
    """The LSP kind, by which editors group and bind actions; empty is `starcoder.NAME`."""

    task: str = ""
    """What an adapter's `tasks` must name, or cover by `instruct`; empty is the action's own name."""

    needs_diagnostics: bool = False
    """Offer it only where the editor reports a problem in the code."""

    max_new_tokens: int = Field(default=512, ge=1, le=8192)
    """Longest answer, in tokens. Code that has more cannot be replaced."""

    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    """0 takes the likeliest answer, always the same; more draws more freely."""

    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """Where temperature is above 0: draw from the likeliest tokens that together have this probability."""

    needs_confirmation: bool = True
    """Ask before an edit is applied, in editors that can."""

    @field_validator("instruction")
    @classmethod
    def _has_known_placeholders(cls, text: str) -> str:
        if strange := sorted(set(PLACEHOLDER.findall(text)) - set(PLACEHOLDERS)):
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise ValueError(f"there is no placeholder {{{strange[0]}}}; known are {known}")
        return text

    @field_validator("kind")
    @classmethod
    def _is_ours(cls, kind: str) -> str:
        if kind and not _KIND.fullmatch(kind):
            raise ValueError("a kind begins with `starcoder.` or `refactor.`, or is `quickfix`; editors hide others")
        return kind

    @property
    def needs_instruction(self) -> bool:
        """Whether the user has to say something first."""
        return "{instruction}" in self.instruction


BUILT_IN: dict[str, dict[str, Any]] = {
    "explain": {
        "title": "Explain",
        "instruction": "Explain what this {language} code does.",
        "becomes": "text",
    },
    "document": {
        "title": "Write docstring",
        "instruction": "Write a docstring for this {language} code.",
        "becomes": "docstring",
        "max_new_tokens": 256,
    },
    "fix": {
        "title": "Fix",
        "instruction": "Fix the bugs in this {language} code.\n{diagnostics}",
        "kind": "quickfix",
        "needs_diagnostics": True,
        "max_new_tokens": 1024,
    },
    "test": {
        "title": "Write tests",
        "instruction": "Write tests for this {language} code.",
        "becomes": "text",
        "max_new_tokens": 1024,
    },
    "simplify": {
        "title": "Simplify",
        "instruction": "Simplify this {language} code without changing what it does.",
        "max_new_tokens": 1024,
    },
    "rewrite": {
        "title": "Rewrite",
        "instruction": "{instruction}",
        "max_new_tokens": 1024,
    },
    "ask": {
        "title": "Ask",
        "instruction": "{instruction}",
        "becomes": "text",
    },
}


def over_built_in(given: object) -> object:
    """The user's tables laid over the built-in ones; what is no table is left for the validation to refuse."""
    if not isinstance(given, Mapping):
        return given
    tables: dict[str, Any] = {name: dict(table) for name, table in BUILT_IN.items()}
    for name, table in given.items():
        is_change = name in tables and isinstance(table, Mapping)
        tables[name] = {**tables[name], **table} if is_change else table
    return tables
