"""The actions on code as settings: the instruction to the model, and what its answer becomes.

It defines the built-in actions and validates those of the user.
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
    """One action on code: built in (`explain`, `document`, `fix`, `test`, `simplify`, `rewrite`, `ask`) or custom. A
    table with the name of a built-in action changes only the keys that it contains."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    enabled: bool = True
    """Offer the action."""

    title: str = Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
    """The name in the editor's menu."""

    instruction: str = Field(min_length=1)
    """The instruction to the model. `{language}`, `{file}`, `{code}`, `{diagnostics}` and `{instruction}` (typed by the
    user) are replaced. Without `{code}`, the code follows the instruction on lines of its own."""

    becomes: Becomes = "replacement"
    """How the answer is used: as `text` to read, `replacement` of the code, `docstring` of the function, or `insertion`
    below the code."""

    kind: str = ""
    """The LSP code action kind, by which editors group actions and bind keys. Empty: `starcoder.NAME`."""

    task: str = ""
    """The task that an adapter must have in its `tasks`, unless it has `instruct`. Empty: the name of the action."""

    needs_diagnostics: bool = False
    """Offer the action only if the editor reports a problem in the code."""

    max_new_tokens: int = Field(default=512, ge=1, le=8192)
    """Maximum length of the answer in tokens. Longer code cannot be replaced."""

    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    """Sampling temperature. 0 selects the most likely token each time, so the answer is always the same."""

    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """If the temperature is above 0: sample from the most likely tokens whose probabilities add up to this value."""

    needs_confirmation: bool = True
    """Ask for confirmation before an edit is applied, in editors that support it."""

    @field_validator("instruction")
    @classmethod
    def _has_known_placeholders(cls, text: str) -> str:
        if unknown := sorted(set(PLACEHOLDER.findall(text)) - set(PLACEHOLDERS)):
            known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
            raise ValueError(f"there is no placeholder {{{unknown[0]}}}; known are {known}")
        return text

    @field_validator("kind")
    @classmethod
    def _has_known_kind(cls, kind: str) -> str:
        if kind and not _KIND.fullmatch(kind):
            raise ValueError("a kind begins with `starcoder.` or `refactor.`, or is `quickfix`; editors hide others")
        return kind

    @property
    def needs_instruction(self) -> bool:
        """Whether the user must type an instruction."""
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


def merge_with_built_in(user_tables: object) -> object:
    """The built-in tables with the user's keys and tables. Values that are no tables are kept for the validation."""
    if not isinstance(user_tables, Mapping):
        return user_tables
    tables: dict[str, Any] = {name: dict(table) for name, table in BUILT_IN.items()}
    for name, table in user_tables.items():
        is_change = name in tables and isinstance(table, Mapping)
        tables[name] = {**tables[name], **table} if is_change else table
    return tables
