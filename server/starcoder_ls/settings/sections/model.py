"""The settings of the model and of its adapters, with the constants that name the bundled ones."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from starcoder_ls.settings.sections.section import Section

BUNDLED = "bundled"
"""The name of the model, and the path of the adapter, that are part of this package."""

ADAPTER_NAME = r"^[A-Za-z0-9_-]{1,64}$"
"""Names of modules and folders are made from it, so it has no dots and no slashes."""

TEMPLATE = "Question: {question}\n\nAnswer:"
"""That of the Astraios models, from their model cards. Nothing follows the colon: the answer begins with the space."""

AUTO, EDIT_TEMPLATE = "auto", "edits"
"""Values of `template`: what fits the checkpoint; the format of commits or issues that `train edits` trains."""
_TEMPLATE_PATTERN = rf"^({AUTO}|{EDIT_TEMPLATE})$|\{{question\}}"


class Model(Section):
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
    """Type of the weights. `auto` on a GPU: bfloat16 if the GPU has it, else float16, or float32 if float16 overflows.
    `auto` on a CPU: the 16-bit type of the checkpoint with computation in float32, which is exact and the fastest; for
    other checkpoints float32."""

    quantization: Literal["none", "int8", "nf4", "torchao-int8", "torchao-int4"] = "none"
    """Store the weights in fewer bits: `int8` and `nf4` (4 bits) with bitsandbytes, the others with torchao (`pip
    install 'starcoder-ls[quantization]'`). On CUDA use `torchao-int4`. On a CPU `int8` and `torchao-int4` need neither
    library and make a large model faster; a model that loses more than 0.1 nats a token in 4 bits gets 8 bits.
    docs/adapters.md has more."""

    max_memory: dict[str, str] = Field(default_factory=dict)
    """Limit per device, such as `{"0" = "10GiB", "cpu" = "30GiB"}`. Weights beyond it go to the next device, then to
    the CPU. Empty: one device without a limit."""

    cuda_graphs: Literal["auto", "off"] = "auto"
    """Replay short forward passes as CUDA graphs, recorded while the server is idle. `off` saves up to 1 GB."""

    compile: Literal["off", "on"] = "off"
    """Compile what CUDA graphs record with `torch.compile`, which fuses operations. The first start takes minutes
    longer, later starts do not."""

    document_ngrams: Literal["auto", "off"] = "auto"
    """Mix the model's probabilities with the tokens that follow the same words in the document. `auto` does so for
    checkpoints with fitted weights, such as the bundled model; large models gain little."""

    offline: bool = False
    """Use only files on this machine; never connect to the Hub."""

    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads for the model; 0 means one per physical core. Short passes of small models always use one thread."""


class Adapter(Section):
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
    """The adapter's prompt; `{question}` is replaced with the instruction and the code. `auto`: see docs/actions.md.
    `edits`: the format of commits or issues, for adapters of `train edits`."""

    allow_other_base: bool = False
    """Load the adapter although it was made for another base model of the same architecture and sizes. Its answers may
    be useless."""

    @property
    def source(self) -> str:
        """`path`, and `revision` if there is one."""
        return f"{self.path}@{self.revision}" if self.revision else self.path

    @property
    def prompt_template(self) -> str:
        """`template`; where it is `auto`, `TEMPLATE` for the Astraios models and the bundled adapter."""
        return TEMPLATE if self.template == AUTO and re.search("(?i)astraios|^bundled$", self.path) else self.template


BUNDLED_ADAPTERS = {"explain": Adapter(path=BUNDLED, tasks=("explain", "document"))}
"""The adapters that are loaded with the bundled model by default."""
