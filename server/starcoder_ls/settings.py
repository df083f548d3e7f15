"""All settings: name, default, unit, meaning. The manual and the editors' settings are generated from this module.

Decides which values are valid, and the precedence of their sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from starcoder_ls.actions import BUILT_IN, Action, merge_with_built_in
from starcoder_ls.errors import SettingsError
from starcoder_ls.languages.table import normalize_id
from starcoder_ls.rules import CompletionRule
from starcoder_ls.settings_errors import describe_errors
from starcoder_ls.settings_merge import merge_settings
from starcoder_ls.settings_toml import is_file_named, read_toml, settings_file

BUNDLED = "bundled"
"""The name of the model, and the path of the adapter, that are part of this package."""

ADAPTER_NAME = r"^[A-Za-z0-9_-]{1,64}$"
"""Names of modules and folders are made from it, so it has no dots and no slashes."""

TEMPLATE = "Question: {question}\n\nAnswer:"
"""That of the Astraios models, from their model cards. Nothing follows the colon: the answer begins with the space."""

AUTO, _TEMPLATE_PATTERN = "auto", r"^auto$|\{question\}"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Model(_Section):
    """The model and the device it runs on. A change takes effect when the server is restarted."""

    name: str = Field(default="bundled", min_length=1)
    """`bundled`, a folder with the files of a Hub checkpoint, or a Hub id such as `bigcode/starcoderbase-1b`."""

    revision: str | None = None
    """Branch, tag or commit of a Hub model. Use a commit to keep the model from changing."""

    tasks: tuple[str, ...] = ("completion",)
    """What the model is used for without an adapter. Add `instruct` for an instruction-tuned checkpoint."""

    template: str = Field(default=AUTO, pattern=_TEMPLATE_PATTERN)
    """The prompt of an instruction-tuned model; `{question}` is replaced with the instruction and the code. `auto` is
    the checkpoint's own chat template, else `Question: {question}\\n\\nAnswer:`."""

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """The device that has the weights. `auto` is CUDA if available, else Apple's MPS, else the CPU, which also gets
    models under 60 MB: a GPU is not faster for them."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights. `auto` is bfloat16 on a GPU that has it, else float16, or float32 if that overflows. On a
    CPU it is the checkpoint's 16-bit type, computed in float32, which is exact and the fastest; else float32."""

    quantization: Literal["none", "int8", "nf4", "torchao-int8", "torchao-int4"] = "none"
    """Store the weights in fewer bits: `int8` and `nf4` (4 bits) with bitsandbytes, the others with torchao (`pip
    install 'starcoder-ls[quantization]'`). On CUDA use `torchao-int4`. On a CPU `int8` and `torchao-int4` need neither
    and make a large model faster; one that loses over 0.1 nats a token in 4 bits gets 8. docs/adapters.md has more."""

    max_memory: dict[str, str] = Field(default_factory=dict)
    """Limit per device, such as `{"0" = "10GiB", "cpu" = "30GiB"}`. Weights beyond it go to the next device, then to
    the CPU. Empty: one device without a limit."""

    cuda_graphs: Literal["auto", "off"] = "auto"
    """Replay short forward passes as CUDA graphs, recorded while the server is idle. `off` saves up to 1 GB."""

    compile: Literal["off", "on"] = "off"
    """Fuse what CUDA graphs record with torch's compiler. The first start takes minutes longer, later ones do not."""

    document_ngrams: Literal["auto", "off"] = "auto"
    """Mix the model's probabilities with the tokens that follow the same words in the document. `auto` does so for
    checkpoints with fitted weights, such as the bundled model; large models gain little."""

    offline: bool = False
    """Use only files on this machine; never connect to the Hub."""

    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads for the model; 0 means one per physical core. Short passes of small models always use one thread."""


class Adapter(_Section):
    """A PEFT adapter of the base model, which is loaded beside it, and what it is used for."""

    path: str = Field(min_length=1)
    """Folder or Hub id, such as `bigcode/astraios-7b-parallel`; `bundled` is the adapter of the bundled model."""

    revision: str | None = None
    """Branch, tag or commit of a Hub adapter."""

    tasks: tuple[str, ...] = ("instruct",)
    """What it is used for: `completion`, the name of an action (`explain`, `document`, `fix`, `test`, `simplify`,
    `rewrite`, `ask`, or a custom action), or `instruct` for all actions."""

    languages: tuple[str, ...] = ()
    """Use it only for documents in these languages (LSP ids such as `python`); empty: all."""

    files: tuple[str, ...] = ()
    """Use it only for documents whose path matches a pattern, as in a .gitignore: `tests/`, `*.pyi`; empty: all."""

    template: str = Field(default=AUTO, pattern=_TEMPLATE_PATTERN)
    """The adapter's prompt; `{question}` is replaced with the instruction and the code. `auto`: see docs/actions.md."""

    allow_other_base: bool = False
    """Load it although it was made for another base model of the same architecture and sizes. Its answers may be
    useless."""

    @property
    def source(self) -> str:
        """`path`, and `revision` if there is one."""
        return f"{self.path}@{self.revision}" if self.revision else self.path

    @property
    def prompt_template(self) -> str:
        """`template`; where it is `auto`, `TEMPLATE` for the Astraios models and the bundled adapter."""
        return TEMPLATE if self.template == AUTO and re.search("(?i)astraios|^bundled$", self.path) else self.template


class InlineCompletion(_Section):
    """Ghost text: `textDocument/inlineCompletion`, and `textDocument/completion` for editors without it."""

    enabled: bool = True
    """Show suggestions."""

    excluded_languages: tuple[str, ...] = ()
    """Show no suggestions in documents of these languages (LSP ids such as `markdown`)."""

    def is_enabled_in(self, language: str) -> bool:
        """Whether documents of ``language`` get suggestions."""
        return self.enabled and normalize_id(language) not in map(normalize_id, self.excluded_languages)

    max_new_tokens: int = Field(default=64, ge=1, le=1024)
    """Maximum length of a suggestion, in tokens."""

    prompt_tokens: int = Field(default=1024, ge=64, le=1 << 22)
    """Maximum number of tokens of the document in the prompt; more is slower. Limited by the model's context."""

    suffix_percent: int = Field(default=25, ge=0, le=90)
    """Share of `prompt_tokens` that is reserved for the text after the cursor."""

    fim_order: Literal["auto", "spm", "psm", "psm_line"] = "auto"
    """Order of suffix, prefix and middle in the prompt. `auto` is `spm` if the model was trained on it: typing then
    only appends to the prompt. Else it is `psm_line`: the line of the cursor is last, after all other text."""

    heal_words: bool = True
    """Generate the partly typed word before the cursor again, with the typed letters as its beginning: models predict
    words better than parts of words."""

    remember: bool = True
    """Reuse earlier suggestions while the user types them, and continue interrupted ones."""

    ahead: bool = True
    """Compute the next suggestion while one is shown, as if it were accepted. This uses power for suggestions that may
    not be needed."""

    candidates: int = Field(default=3, ge=1, le=8)
    """Number of suggestions when they are requested explicitly; while typing it is always one."""

    temperature: float = Field(default=0.6, ge=0.0, le=2.0)
    """Sampling temperature of the second and later suggestions; the first is always the most likely one."""

    top_p: float = Field(default=0.95, gt=0.0, le=1.0)
    """Sample from the most likely tokens that together have this probability."""

    budget_ms: int = Field(default=3000, ge=50, le=3_600_000)
    """Time limit in milliseconds; what was generated by then is shown."""

    min_confidence: float = Field(default=0.0, ge=0.0, lt=1.0)
    """While typing, show only suggestions whose tokens have at least this probability (geometric mean)."""

    min_confidence_in: dict[str, Annotated[float, Field(ge=0.0, lt=1.0)]] = Field(default_factory=dict)
    """`min_confidence` by language, such as `{markdown = 0.3}`; prose is harder to predict than code."""

    rules_off: tuple[CompletionRule, ...] = ()
    """Names of disabled rules for where a suggestion ends and which part of it is shown: for measurements, or if a rule
    is unsuitable for you."""

    def min_confidence_for(self, language: str) -> float:
        """`min_confidence` of documents in ``language``."""
        by_id = {normalize_id(name): value for name, value in self.min_confidence_in.items()}
        return by_id.get(normalize_id(language), self.min_confidence)


class Context(_Section):
    """Which text of other files is in a prompt, and which files are never read. Nothing leaves this machine."""

    ignore: tuple[str, ...] = ()
    """Files that are never in a prompt and get no suggestions, as patterns of a .gitignore relative to the workspace
    folder, in addition to `.gitignore`, `.starcoderignore` and names that look like secrets. `!pattern` includes files
    that those exclude."""

    prompt_tokens: Annotated[int, Field(ge=0, le=8192)] | Literal["auto"] = "auto"
    """Maximum number of tokens of snippets from other files in a prompt, in addition to
    `inline_completion.prompt_tokens`; 0: none. `auto` is 0 for models with a context of less than 4,096 tokens, such as
    the bundled one, and 512 for others."""

    evidence: bool = True
    """Search open, imported and similar files too for repetitions of what is typed, if `model.document_ngrams` does so
    in the document. Uses no tokens of the prompt."""

    sources: tuple[Literal["buffers", "edits", "imports", "repository"], ...] = (
        "buffers",
        "edits",
        "imports",
        "repository",
    )
    """Where snippets come from: open files, recently edited parts of them, files that the document imports, and the
    rest of the workspace."""

    index_files: int = Field(default=20_000, ge=0, le=10_000_000)
    """Maximum number of files of a workspace that are indexed for `repository`; 0: none."""


class Feedback(_Section):
    """Records of shown and accepted suggestions, in a file that never leaves this machine."""

    keep: Literal["nothing", "outcomes", "text"] = "outcomes"
    """`outcomes`: language, model and length of suggestions, and how much of them was accepted and kept. `text` also
    records the suggestion and up to 1,000 characters on both sides, with masked secrets, to train an adapter."""

    keep_days: int = Field(default=90, ge=1, le=36_500)
    """Older records are removed."""


class Sharing(_Section):
    """One daemon with the model for all windows of a user; another one if a setting of `model` differs."""

    enabled: bool = True
    """Let `starcoder-ls serve` connect to the daemon or start it; else, and on Windows, each window loads the model."""

    idle_minutes: float = Field(default=10.0, gt=0.0)
    """The daemon ends after no window has been open for this long."""

    release_minutes: float = Field(default=30.0, ge=0.0)
    """The model is unloaded after this long without a request while windows are open; the next loads it. 0: never."""


class Log(_Section):
    """The server's log, which is written to stderr and to a rotating file."""

    level: Literal["error", "warning", "info", "debug"] = "info"
    """Minimum severity of logged messages. No level logs source code or prompts."""


BUNDLED_ADAPTERS = {"explain": Adapter(path=BUNDLED, tasks=("explain", "document"))}
"""The adapters that are loaded with the bundled model by default."""


class Settings(_Section):
    """All sections. `adapters` and `actions` have a table for each name of letters, digits, `-` and `_`."""

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

    _with_built_in = field_validator("actions", mode="before")(merge_with_built_in)

    def resident_adapters(self) -> dict[str, Adapter]:
        """The adapters to load with the model: the user's, and those of the bundled model unless their name is used."""
        defaults = BUNDLED_ADAPTERS if self.model.name == BUNDLED else {}
        return {**defaults, **self.adapters}


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
        raise SettingsError(f"Settings from {source}: {describe_errors(error)}") from None
