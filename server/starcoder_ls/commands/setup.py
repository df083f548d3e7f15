"""``starcoder-ls setup``: what this machine can hold, and from there to a settings file and a snippet for the editor.

Decides which model is proposed for how much memory, and that nothing is fetched or written without a yes.
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

from starcoder_ls import settings
from starcoder_ls.commands.support import settings_file
from starcoder_ls.commands.support.console import stderr

_GB = 1e9
_BESIDE_GB = 1.0  # KV cache, activations and what the display takes
_CPU_MODEL_GB = 4.0  # a larger one answers too slowly while somebody types
_EMBEDDING_SHARE = {"1b": 0.09, "3b": 0.046, "7b": 0.028, "15b": 0.02}  # of the weights; they stay in 16 bits
_BYTES = {"none": 2.0, "int8": 1.02, "nf4": 0.56}  # per weight of a linear layer, its scales included


@dataclass(frozen=True, slots=True)
class Size:
    """One StarCoderBase. ``weights`` follow from its configuration, ``adapter`` does its actions."""

    name: str
    key: str
    weights: float
    adapter: str | None = None
    adapter_mb: float = 0.0

    def needed_gb(self, quantization: str) -> float:
        embedding = self.weights * _EMBEDDING_SHARE[self.key] * 2
        linear = self.weights * (1 - _EMBEDDING_SHARE[self.key]) * _BYTES[quantization]
        return (embedding + linear) / _GB + _BESIDE_GB


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
class Wishes:
    """The flags: everything that would be asked can be said before."""

    model: str | None = None
    quantization: str | None = None
    adapter: str | None = None
    is_yes: bool = False
    is_fetched: bool = True


def proposals(device: str, free_gb: float, has_bitsandbytes: bool) -> list[Proposal]:
    """The largest first, each with as little quantization as it needs; the bundled model always fits."""
    found = []
    for size in SIZES:
        ways = ("none", "int8", "nf4") if device == "cuda" and has_bitsandbytes else ("none",)
        room_gb = min(free_gb, _CPU_MODEL_GB) if device == "cpu" else free_gb
        way = next((way for way in ways if size.needed_gb(way) <= room_gb), None)
        if way is not None:
            found.append(Proposal(size.name, way, size.needed_gb(way), size.adapter, size.adapter_mb))
    return [*found, BUNDLED]


def machine() -> tuple[str, str, float]:
    """Device, its name, and the GB that are free on it."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name(), torch.cuda.mem_get_info()[0] / _GB
    free_gb = psutil.virtual_memory().available / _GB
    if torch.backends.mps.is_available():
        return "mps", "Apple GPU, sharing its memory", free_gb
    return "cpu", f"{psutil.cpu_count(logical=False) or psutil.cpu_count()} cores, no GPU", free_gb


def run(wishes: Wishes, file: Path | None, look: Callable[[], tuple[str, str, float]] = machine) -> int:
    """0 once the settings are written, 1 if the user says no. Raises ModelError, SettingsError: nothing is written."""
    device, name, free_gb = look()
    has_bitsandbytes = importlib.util.find_spec("bitsandbytes") is not None
    stderr.print(f"{name}: {free_gb:.1f} GB free")
    is_asking = sys.stdin.isatty() and not wishes.is_yes
    chosen = _chosen(wishes, proposals(device, free_gb, has_bitsandbytes), is_asking)
    if device == "cuda" and not has_bitsandbytes:
        stderr.print("Larger ones fit in fewer bits: pip install 'starcoder-ls[quantization]'", style="dim")
    model = settings.validate({"model": _model_table(chosen)}, "the given options").model
    place = file or settings.settings_file()
    if is_asking and not Confirm.ask(f"Fetch what is not here yet, and write {place}?", console=stderr, default=True):
        return 1
    if wishes.is_fetched and model.name != settings.BUNDLED:
        _fetch(model, chosen.adapter)
    settings_file.assign(place, "model", _model_table(chosen))
    if chosen.adapter:
        settings_file.put(place, ("adapters", "instruct"), {"path": chosen.adapter, "tasks": ["instruct"]})
    with_adapter = f" with {chosen.adapter}" if chosen.adapter else ""
    print(f"{place} says: {chosen.model}{with_adapter}. `starcoder-ls doctor` tries it out.\n\n{_snippet()}")
    return 0


def _chosen(wishes: Wishes, offered: list[Proposal], is_asking: bool) -> Proposal:
    """By the flags, else by the user, else the first. An adapter named by a flag replaces the proposed one."""
    picked = offered[0]
    if wishes.model is not None:
        known = next((one for one in offered if one.model == wishes.model), None)
        picked = known or Proposal(wishes.model)
    elif is_asking:
        table = Table("", "model", "quantization", "memory", "adapter for actions", box=None)
        for number, one in enumerate(offered, start=1):
            acting = f"{one.adapter} ({one.adapter_mb:.0f} MB)" if one.adapter else ""
            table.add_row(str(number), one.model, one.quantization, f"{one.needed_gb:.1f} GB", acting)
        stderr.print(table)
        numbers = [str(number) for number in range(1, len(offered) + 1)]
        picked = offered[int(Prompt.ask("Which", console=stderr, choices=numbers, default="1")) - 1]
    adapter = picked.adapter if wishes.adapter is None else wishes.adapter.strip() or None
    quantization = wishes.quantization or picked.quantization
    return Proposal(picked.model, quantization, picked.needed_gb, adapter, picked.adapter_mb)


def _model_table(chosen: Proposal) -> dict[str, Any]:
    return {"name": chosen.model, "quantization": chosen.quantization}


def _fetch(model: settings.Model, adapter: str | None) -> None:
    """Both to this machine, with a bar. Raises ModelGated with the page of the licence, ModelNotFound without a Hub."""
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

        def report(fraction: float, sentence: str) -> None:
            bars.update(bar, completed=fraction, description=sentence)

        hub.resolve(model.name, model.revision, hub.CHECKPOINT_FILES, model.offline, read_checkpoint, report)
        if adapter:
            files.resolve_adapter(settings.Adapter(path=adapter), model.offline, report)


def _snippet() -> str:
    program = str(Path(sys.argv[0]).resolve()) if sys.argv[0].endswith("starcoder-ls") else "starcoder-ls"
    return (
        f'VS Code, settings.json:  "starcoder.server.command": ["{program}", "serve"]\n'
        f'Neovim, init.lua:        require("starcoder").setup({{ cmd = {{ "{program}", "serve" }}, maps = true }})'
    )
