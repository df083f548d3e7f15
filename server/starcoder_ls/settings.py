"""Every knob, once: name, default, unit, meaning. README and editor settings are generated from here.

Decides what is a valid value and in which order sources win. Refuses to know who uses a value.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from starcoder_ls.actions import BUILT_IN, Action, over_built_in
from starcoder_ls.errors import SettingsError
from starcoder_ls.languages.table import normalize_id
from starcoder_ls.rules import CompletionRule
from starcoder_ls.settings_errors import sentences
from starcoder_ls.settings_merge import merged

_OVERRIDE = "STARCODER_LS_SETTINGS"

BUNDLED = "bundled"
"""Name of the model, and path of the adapter, that ship with this package."""

ADAPTER_NAME = r"^[A-Za-z0-9_-]{1,64}$"
"""It becomes a module's name and a folder's, so no dots and no slashes."""

TEMPLATE = "Question: {question}\n\nAnswer:"
"""Astraios' own (its model cards); nothing after the colon, since the answer was trained to begin with the blank."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Model(_Section):
    """Which model runs, and where. Changing any of these loads a model anew."""

    name: str = Field(default="bundled", min_length=1)
    """`bundled`, a folder in the layout of a Hub checkpoint, or a Hub id such as `bigcode/starcoderbase-1b`."""

    revision: str | None = None
    """Branch, tag or commit of a Hub model; pin a commit where it matters."""

    tasks: tuple[str, ...] = ("completion",)
    """What the model does without an adapter. Add `instruct` for an instruction-tuned checkpoint."""

    template: str = Field(default=TEMPLATE, pattern=r"\{question\}")
    """How an instruction-tuned model wants to be asked; `{question}` stands for the instruction and the code."""

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Where the weights live. `auto` takes CUDA, then Apple's MPS, then the CPU."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights. `auto` is bfloat16 where a GPU computes in it; on a CPU float16 or bfloat16, as the
    checkpoint has them, under float32 arithmetic, which is exact for both and the fastest; else float32."""

    quantization: Literal["none", "int8", "nf4", "torchao-int8", "torchao-int4"] = "none"
    """Keep the weights in fewer bits: `int8` and `nf4` (4 bits, scales quantized too) by bitsandbytes, the others by
    torchao; both come with `pip install 'starcoder-ls[quantization]'`. On a CPU `int8` needs neither and makes a large
    model faster. docs/adapters.md says what each saves."""

    max_memory: dict[str, str] = Field(default_factory=dict)
    """Cap per device, such as `{"0" = "10GiB", "cpu" = "30GiB"}`. What exceeds it goes to the next device, then
    to the CPU. Empty: one device, no cap."""

    cuda_graphs: Literal["auto", "off"] = "auto"
    """Replay short passes as CUDA graphs, recorded while nobody asks anything. Off saves up to a gigabyte."""

    document_ngrams: Literal["auto", "off"] = "auto"
    """Mix the model's next token with what followed the same words in the document. `auto` does so for checkpoints
    that bring fitted strengths (the bundled model does); large models gain little."""

    offline: bool = False
    """Never ask the Hub, use only what is already on this machine."""

    threads: int = Field(default=0, ge=0)
    """CPU threads for the model; 0 takes one per physical core. Short passes of small models run on one in any case."""


class Adapter(_Section):
    """One PEFT adapter of the base model, resident beside it, and what it is used for."""

    path: str = Field(min_length=1)
    """Folder or Hub id, such as `bigcode/astraios-7b-parallel`; `bundled` is the one that ships with the bundled
    model."""

    revision: str | None = None
    """Branch, tag or commit of a Hub adapter."""

    tasks: tuple[str, ...] = ("instruct",)
    """What it does: `completion`, the name of an action (`explain`, `document`, `fix`, `test`, `simplify`, `rewrite`,
    `ask`, or one of your own), or `instruct` for every action."""

    languages: tuple[str, ...] = ()
    """Only documents in these languages (LSP ids such as `python`); empty: all."""

    files: tuple[str, ...] = ()
    """Only documents whose path matches one of these patterns, as in a .gitignore: `tests/`, `*.pyi`; empty: all."""

    template: str = Field(default=TEMPLATE, pattern=r"\{question\}")
    """How it wants to be asked; `{question}` stands for the instruction and the code."""

    @property
    def source(self) -> str:
        """What `path` and `revision` say together."""
        return f"{self.path}@{self.revision}" if self.revision else self.path


class InlineCompletion(_Section):
    """Ghost text: `textDocument/inlineCompletion`, and `textDocument/completion` for editors without it."""

    enabled: bool = True
    """Answer with suggestions at all."""

    excluded_languages: tuple[str, ...] = ()
    """No suggestions in documents of these languages (LSP ids such as `markdown`)."""

    def is_wanted_in(self, language: str) -> bool:
        """Whether documents of ``language`` get suggestions."""
        return self.enabled and normalize_id(language) not in map(normalize_id, self.excluded_languages)

    max_new_tokens: int = Field(default=64, ge=1, le=1024)
    """Longest suggestion, in tokens."""

    prompt_tokens: int = Field(default=1024, ge=64)
    """Most tokens of the document that the model reads; more is slower. Cut to what the model's context
    holds."""

    suffix_percent: int = Field(default=25, ge=0, le=90)
    """Share of `prompt_tokens` kept for the text after the cursor."""

    fim_order: Literal["auto", "spm", "psm", "psm_line"] = "auto"
    """Order of suffix, prefix and middle in the prompt. `auto` is `spm` where the model was trained on it: then typing
    adds to the prompt's end only; else `psm_line`: the cursor's line stands last, behind all other text."""

    heal_words: bool = True
    """Ask for the half-typed word before the cursor anew, with the letters that are there as its beginning: models
    know words, not their beginnings."""

    remember: bool = True
    """Answer from earlier suggestions while the user types into them, and go on with what was interrupted."""

    ahead: bool = True
    """Think of the next suggestion while one is shown, as if it were accepted. Costs power for what nobody may want."""

    candidates: int = Field(default=3, ge=1, le=8)
    """Different suggestions when asked for by hand; while typing it is always one."""

    temperature: float = Field(default=0.6, ge=0.0, le=2.0)
    """How freely the second and later candidates are drawn; the first is always the likeliest."""

    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """Draw from the likeliest tokens that together have this probability."""

    budget_ms: int = Field(default=3000, ge=50)
    """A suggestion that takes longer is shown as far as it got."""

    min_confidence: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Show nothing while typing where the model's tokens have a lower probability than this (their geometric mean)."""

    min_confidence_in: dict[str, Annotated[float, Field(ge=0.0, lt=1.0)]] = Field(default_factory=dict)
    """Another `min_confidence` for some languages, such as `{markdown = 0.3}`; prose is harder to guess than code."""

    rules_off: tuple[CompletionRule, ...] = ()
    """Rules for where a suggestion ends and what of it is shown that are switched off, by name: for measuring, or where
    one is in your way."""

    def least_confidence(self, language: str) -> float:
        by_id = {normalize_id(name): value for name, value in self.min_confidence_in.items()}
        return by_id.get(normalize_id(language), self.min_confidence)


class Context(_Section):
    """What a prompt may hold of other files, and which files never reach one. Nothing of it leaves this machine."""

    ignore: tuple[str, ...] = ()
    """Files that never reach a prompt and get no suggestions, as patterns of a .gitignore relative to the workspace
    folder, beside `.gitignore`, `.starcoderignore` and names that look like secrets. `!pattern` lets in what those
    keep out."""

    prompt_tokens: Annotated[int, Field(ge=0, le=8192)] | Literal["auto"] = "auto"
    """Most tokens of snippets from other files in a prompt, beside `inline_completion.prompt_tokens`; 0: none. `auto`
    is 0 for models that read 2,048 tokens or fewer, as the bundled one, and 512 for others."""

    evidence: bool = True
    """Look for repetitions of what is typed in open, imported and similar files too, where `model.document_ngrams`
    does so in the document. Costs no tokens."""

    sources: tuple[Literal["buffers", "edits", "imports", "repository"], ...] = (
        "buffers",
        "edits",
        "imports",
        "repository",
    )
    """Where snippets come from: open files, recently edited places in them, files that the document imports, and
    the rest of the workspace."""

    index_files: int = Field(default=20_000, ge=0)
    """Most files of a workspace that are indexed for `repository`; 0: none."""


class Feedback(_Section):
    """What becomes of suggestions, in a file that never leaves this machine."""

    keep: Literal["nothing", "outcomes", "text"] = "outcomes"
    """`outcomes`: language, model, length, and whether one was accepted and kept. `text` adds the suggestion and up to
    1,000 characters on both sides, secrets masked: allow it where you want to train an adapter on it later."""

    keep_days: int = Field(default=90, ge=1)
    """Older rows are removed."""


class Sharing(_Section):
    """One process with the model for all windows of a user. Where any of `model` differs, another process."""

    enabled: bool = True
    """Let `starcoder-ls serve` join the resident process, or start it; else each window has the model to itself.
    Not on Windows, where each window always has."""

    idle_minutes: float = Field(default=10.0, gt=0.0)
    """The process ends when no window has been open for so long."""

    release_minutes: float = Field(default=30.0, ge=0.0)
    """The memory of the model is given back when nothing has been asked for so long, though windows are open; the next
    request loads it again. 0 keeps it."""


class Log(_Section):
    """What the server writes down, to stderr and to a rotating file."""

    level: Literal["error", "warning", "info", "debug"] = "info"
    """Least severe message kept. No level writes source code or prompts."""


BUNDLED_ADAPTERS = {"explain": Adapter(path=BUNDLED, tasks=("explain", "document"))}
"""What is resident beside the bundled model without a word in the settings."""


class Settings(_Section):
    """All sections. `adapters` and `actions` hold one table per name, of letters, digits, `-` and `_`."""

    model: Model = Model()
    adapters: dict[Annotated[str, Field(pattern=ADAPTER_NAME)], Adapter] = Field(default_factory=dict)
    inline_completion: InlineCompletion = InlineCompletion()
    context: Context = Context()
    actions: dict[Annotated[str, Field(pattern=ADAPTER_NAME)], Action] = Field(
        default_factory=lambda: {name: Action.model_validate(table) for name, table in BUILT_IN.items()}
    )
    feedback: Feedback = Feedback()
    sharing: Sharing = Sharing()
    log: Log = Log()

    _with_built_in = field_validator("actions", mode="before")(over_built_in)

    def resident_adapters(self) -> dict[str, Adapter]:
        """The adapters to keep beside the model: the user's, and the bundled model's own unless the name is taken."""
        own = BUNDLED_ADAPTERS if self.model.name == BUNDLED else {}
        return {**own, **self.adapters}


def settings_file() -> Path:
    """Where the user's settings live: `$STARCODER_LS_SETTINGS`, or the platform's configuration folder."""
    if override := os.environ.get(_OVERRIDE):
        return Path(override)
    return Path(platformdirs.user_config_dir("starcoder-ls", appauthor=False)) / "settings.toml"


def load(*overlays: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Defaults, then the settings file if there is one, then each overlay (nested mappings; later ones win).

    Raises SettingsError naming the key, the value and the source.
    """
    path = file or settings_file()
    tree: dict[str, Any] = {}
    if path.exists():
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not valid TOML: {error}. Correct it or remove it.") from error
        check(tree, source=str(path))
    elif file is not None or os.environ.get(_OVERRIDE):
        raise SettingsError(f"There is no settings file {path}. Create it or name another.")
    for overlay in overlays:
        tree = merged(tree, overlay)
    return check(tree, source="the given options")


def check(tree: Mapping[str, Any], source: str) -> Settings:
    """Settings from a nested mapping. Raises SettingsError with every offending key."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(f"Settings from {source}: {sentences(error)}") from None
