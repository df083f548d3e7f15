"""``starcoder-ls setup``: proposes models for this machine, downloads one, writes the settings.

The proposals follow from the free memory. Nothing is downloaded or written before the user agrees.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm, Prompt
from rich.table import Table

from starcoder_ls import settings, settings_toml
from starcoder_ls.commands.support import settings_file as settings_files
from starcoder_ls.commands.support.console import stderr

_GB = 1e9
_OVERHEAD_GB = 1.0  # KV cache, activations and the display
_MAX_CPU_MODEL_GB = 4.0  # a larger model is too slow on a CPU for completion while typing
_EMBEDDING_SHARE = {"1b": 0.09, "3b": 0.046, "7b": 0.028, "15b": 0.02}  # share of the weights; not quantized
_BYTES_PER_WEIGHT = {"none": 2.0, "int8": 1.02, "nf4": 0.56}  # of a linear layer, including its scales


@dataclass(frozen=True, slots=True)
class Size:
    """A size of StarCoderBase. ``weights`` follows from its configuration; ``adapter`` provides the actions."""

    name: str
    key: str
    weights: float
    adapter: str | None = None
    adapter_mb: float = 0.0

    def needed_gb(self, quantization: str) -> float:
        embedding = self.weights * _EMBEDDING_SHARE[self.key] * 2
        linear = self.weights * (1 - _EMBEDDING_SHARE[self.key]) * _BYTES_PER_WEIGHT[quantization]
        return (embedding + linear) / _GB + _OVERHEAD_GB


SIZES = (
    Size("bigcode/starcoderbase", "15b", 15.5e9),
    Size("bigcode/starcoderbase-7b", "7b", 7.3e9, "bigcode/astraios-7b-lora", 50),
    Size("bigcode/starcoderbase-3b", "3b", 3.04e9, "bigcode/astraios-3b-lora", 30),
    Size("bigcode/starcoderbase-1b", "1b", 1.14e9, "bigcode/astraios-1b-lora", 14),
)


@dataclass(frozen=True, slots=True)
class Proposal:
    model: str
    quantization: str = "none"
    needed_gb: float = 0.0
    adapter: str | None = None
    adapter_mb: float = 0.0


BUNDLED = Proposal(settings.BUNDLED, "none", 0.2)


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """The command line options: an answer in advance to each question."""

    model: str | None = None
    quantization: str | None = None
    adapter: str | None = None
    accepts_all: bool = False
    may_download: bool = True


def proposals(device: str, free_gb: float, has_bitsandbytes: bool) -> list[Proposal]:
    """Models that fit, the largest first, each with the least quantization; the bundled model is the last.

    ``device`` is cuda, mps or cpu.
    """
    fitting = []
    for size in SIZES:
        quantizations = ("none", "int8", "nf4") if device == "cuda" and has_bitsandbytes else ("none",)
        budget_gb = min(free_gb, _MAX_CPU_MODEL_GB) if device == "cpu" else free_gb
        quantization = next((name for name in quantizations if size.needed_gb(name) <= budget_gb), None)
        if quantization is not None:
            needed_gb = size.needed_gb(quantization)
            fitting.append(Proposal(size.name, quantization, needed_gb, size.adapter, size.adapter_mb))
    return [*fitting, BUNDLED]


def inspect_machine() -> tuple[str, str, float]:
    """Device (cuda, mps or cpu), its name, and its free memory in GB."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name(), torch.cuda.mem_get_info()[0] / _GB
    free_gb = psutil.virtual_memory().available / _GB
    if torch.backends.mps.is_available():
        return "mps", "Apple GPU with shared memory", free_gb
    return "cpu", f"{psutil.cpu_count(logical=False) or psutil.cpu_count()} cores, no GPU", free_gb


def run(
    options: SetupOptions,
    settings_file: Path | None,
    inspect: Callable[[], tuple[str, str, float]] = inspect_machine,
) -> int:
    """Write the settings. The exit code is 1 if the user declines.

    Raises ModelError or SettingsError; nothing is written then.
    """
    device, name, free_gb = inspect()
    has_bitsandbytes = importlib.util.find_spec("bitsandbytes") is not None
    stderr.print(f"{name}: {free_gb:.1f} GB free")
    is_interactive = sys.stdin.isatty() and not options.accepts_all
    choice = _choose(options, proposals(device, free_gb, has_bitsandbytes), is_interactive)
    if device == "cuda" and not has_bitsandbytes:
        stderr.print("Larger models fit if quantized: pip install 'starcoder-ls[quantization]'", style="dim")
    model = settings.validate({"model": _model_table(choice)}, "the given options").model
    file = settings_file or settings_toml.settings_file()
    question = f"Download missing files, and write {file}?"
    if is_interactive and not Confirm.ask(question, console=stderr, default=True):
        return 1
    if options.may_download and model.name != settings.BUNDLED:
        _download(model, choice.adapter)
    settings_files.assign(file, "model", _model_table(choice))
    if choice.adapter:
        settings_files.put(file, ("adapters", "instruct"), {"path": choice.adapter, "tasks": ["instruct"]})
    with_adapter = f" with {choice.adapter}" if choice.adapter else ""
    print(f"{file} now has {choice.model}{with_adapter}. Run `starcoder-ls doctor` to test it.\n\n{_editor_snippets()}")
    return 0


def _choose(options: SetupOptions, offered: list[Proposal], is_interactive: bool) -> Proposal:
    """The proposal that the options name, else that the user chooses, else the first.

    Adapter and quantization of the options replace those of the proposal.
    """
    choice = offered[0]
    if options.model is not None:
        known = next((proposal for proposal in offered if proposal.model == options.model), None)
        choice = known or Proposal(options.model)
    elif is_interactive:
        table = Table("", "model", "quantization", "memory", "adapter for actions", box=None)
        for number, proposal in enumerate(offered, start=1):
            adapter_cell = f"{proposal.adapter} ({proposal.adapter_mb:.0f} MB)" if proposal.adapter else ""
            needed = f"{proposal.needed_gb:.1f} GB"
            table.add_row(str(number), proposal.model, proposal.quantization, needed, adapter_cell)
        stderr.print(table)
        numbers = [str(number) for number in range(1, len(offered) + 1)]
        choice = offered[int(Prompt.ask("Which", console=stderr, choices=numbers, default="1")) - 1]
    adapter = choice.adapter if options.adapter is None else options.adapter.strip() or None
    quantization = options.quantization or choice.quantization
    return Proposal(choice.model, quantization, choice.needed_gb, adapter, choice.adapter_mb)


def _model_table(proposal: Proposal) -> dict[str, Any]:
    return {"name": proposal.model, "quantization": proposal.quantization}


def _download(model: settings.Model, adapter: str | None) -> None:
    """Download model and adapter, with a progress bar.

    Raises ModelGated, with the page of the licence, ModelNotFound, also without a connection, and AdapterInvalid.
    """
    from starcoder_ls.engine.adapters import files
    from starcoder_ls.engine.loading import hub
    from starcoder_ls.engine.loading.checkpoint import read_checkpoint

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as bars:
        bar = bars.add_task("", total=1.0)

        def show_progress(fraction: float, message: str) -> None:
            bars.update(bar, completed=fraction, description=message)

        hub.resolve(model.name, model.revision, hub.CHECKPOINT_FILES, model.offline, read_checkpoint, show_progress)
        if adapter:
            files.resolve_adapter(settings.Adapter(path=adapter), model.offline, show_progress)


def _editor_snippets() -> str:
    program = str(Path(sys.argv[0]).resolve()) if sys.argv[0].endswith("starcoder-ls") else "starcoder-ls"
    return (
        f'VS Code, settings.json:  "starcoder.server.command": ["{program}", "serve"]\n'
        f'Neovim, init.lua:        require("starcoder").setup({{ cmd = {{ "{program}", "serve" }}, maps = true }})'
    )
