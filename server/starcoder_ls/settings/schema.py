"""All settings: name, default, unit, meaning. The manual and the editors' settings are generated from this module.

Decides which values are valid, and the precedence of their sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from starcoder_ls.actions import BUILT_IN, Action, merge_with_built_in
from starcoder_ls.errors import SettingsError
from starcoder_ls.settings.errors import describe_errors
from starcoder_ls.settings.merge import merge_settings
from starcoder_ls.settings.sections.inline_completion import InlineCompletion
from starcoder_ls.settings.sections.model import (
    ADAPTER_NAME,
    BUNDLED,
    BUNDLED_ADAPTERS,
    Adapter,
    Model,
)
from starcoder_ls.settings.sections.next_edit import NextEdit
from starcoder_ls.settings.sections.remote import Remote
from starcoder_ls.settings.sections.section import Section
from starcoder_ls.settings.toml_file import is_file_named, read_toml, settings_file


class Context(Section):
    """Which text of other files is in a prompt, and which files are never read."""

    ignore: tuple[str, ...] = ()
    """Files that are never in a prompt and get no suggestions, as patterns of a .gitignore relative to the workspace
    folder, in addition to `.gitignore`, `.starcoderignore` and names that look like secrets. `!pattern` includes files
    that those exclude."""

    prompt_tokens: Annotated[int, Field(ge=0, le=8192)] | Literal["auto"] = "auto"
    """Maximum number of tokens of snippets from other files in a prompt, in addition to
    `inline_completion.prompt_tokens`; 0: none. `auto` is 0 for models with a context of less than 4,096 tokens, such as
    the bundled one, and 512 for others."""

    evidence: bool = True
    """Also search open, imported and similar files for repetitions of what is typed, if `model.document_ngrams` does so
    in the document. This uses no tokens of the prompt."""

    sources: tuple[Literal["buffers", "edits", "imports", "repository"], ...] = (
        "buffers",
        "edits",
        "imports",
        "repository",
    )
    """Where snippets come from: open files (`buffers`), recently edited parts of them (`edits`), files that the
    document imports (`imports`), and the rest of the workspace (`repository`)."""

    index_files: int = Field(default=20_000, ge=0, le=10_000_000)
    """Maximum number of files of a workspace that are indexed for `repository`; 0: none."""


class Feedback(Section):
    """Records of shown and accepted suggestions, in a file that never leaves this machine."""

    keep: Literal["nothing", "outcomes", "text"] = "outcomes"
    """`nothing`: no records. `outcomes`: language, model and length of suggestions, and how much of them was accepted
    and kept. `text`: also the suggestion, as much text on both sides as a prompt has, and what you wrote instead, to
    train an adapter; secrets are masked. docs/privacy.md lists all contents."""

    keep_days: int = Field(default=90, ge=1, le=36_500)
    """Records that are older, in days, are removed."""


class Sharing(Section):
    """The daemon is one process that holds the model for all editor windows of a user. Windows with other settings of
    `model` or `remote` get a daemon of their own."""

    enabled: bool = True
    """`starcoder-ls serve` connects to the daemon, or starts it. If `false`, and always on Windows, each window loads
    the model itself."""

    idle_minutes: float = Field(default=10.0, gt=0.0)
    """The daemon ends when no window has been open for this time."""

    release_minutes: float = Field(default=30.0, ge=0.0)
    """While windows are open, the model is unloaded after this time without a request; the next request loads it again.
    0: never."""


class Log(Section):
    """The server's log, which is written to stderr and to a rotating file."""

    level: Literal["error", "warning", "info", "debug"] = "info"
    """Minimum severity of logged messages; for the daemon, the lowest that a window wants (`--log-level`). No level
    logs source code or prompts."""


class Settings(Section):
    """All sections. `adapters` and `actions` have a table for each name of letters, digits, `-` and `_`."""

    model: Model = Model()
    remote: Remote = Remote()
    adapters: dict[Annotated[str, Field(pattern=ADAPTER_NAME)], Adapter] = Field(default_factory=dict)
    inline_completion: InlineCompletion = InlineCompletion()
    next_edit: NextEdit = NextEdit()
    context: Context = Context()
    actions: dict[Annotated[str, Field(pattern=ADAPTER_NAME)], Action] = Field(
        default_factory=lambda: {name: Action.model_validate(table) for name, table in BUILT_IN.items()}
    )
    feedback: Feedback = Feedback()
    sharing: Sharing = Sharing()
    log: Log = Log()

    _with_built_in = field_validator("actions", mode="before")(merge_with_built_in)

    def resident_adapters(self) -> dict[str, Adapter]:
        """The adapters to load with the model: the user's, and those of the bundled model unless their name is used.

        A server has the adapters that it was started with; of the user's, those with the same name are used."""
        defaults = BUNDLED_ADAPTERS if self.model.name == BUNDLED and not self.remote.url else {}
        return {**defaults, **self.adapters}

    def has_engine_of(self, other: Settings) -> bool:
        """Whether one engine serves both settings."""
        return (self.model, self.remote) == (other.model, other.remote)


def load(*overrides: Mapping[str, Any], file: Path | None = None) -> Settings:
    """The defaults, overridden by the settings file if it exists, then by each of ``overrides`` (nested mappings).

    Raises SettingsError with the key, the value and the source.
    """
    path = file or settings_file()
    tree: dict[str, Any] = {}
    if path.exists():
        tree = read_toml(path)
        validate(tree, source=str(path))
    elif file is not None or is_file_named():
        raise SettingsError(f"There is no settings file {path}. Create it or use another path.")
    for override in overrides:
        tree = merge_settings(tree, override)
    return validate(tree, source="the given options")


def validate(tree: Mapping[str, Any], source: str) -> Settings:
    """``tree`` as Settings. Raises SettingsError with every invalid key; ``source`` is part of its message."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(f"Settings from {source}: {describe_errors(error, Settings)}") from None
