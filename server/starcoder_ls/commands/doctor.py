"""``starcoder-ls doctor``: what would run here, and whether it does."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from starcoder_ls import __version__, settings
from starcoder_ls.commands import processes
from starcoder_ls.commands.support.engines import loaded
from starcoder_ls.completion.prompt import families, fim
from starcoder_ls.errors import DaemonError, StarcoderError
from starcoder_ls.generation import Engine, Request, Timings

_CODE = "def greet(name):\n    "
_BELOW = "\n\n\nprint(greet('world'))\n"
_LIBRARIES = ("torch", "transformers", "accelerate", "peft", "pygls")


def run(overlay: dict[str, Any], file: Path | None) -> int:
    """0 if a completion came back, else 1."""
    console = Console(highlight=False, markup=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    used = settings.settings_file() if file is None else file
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    table.add_row("starcoder-ls", f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    table.add_row("libraries", versions)
    table.add_row("settings", f"{used} {'' if used.is_file() else '(not there: defaults)'}")
    memory = psutil.virtual_memory()
    table.add_row("machine", f"{psutil.cpu_count(logical=False) or psutil.cpu_count()} cores, "
                             f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free")  # fmt: skip
    table.add_row("resident", _residents())
    try:
        is_healthy = _completes(table, settings.load(overlay, file=file))
    except StarcoderError as error:
        console.print(table)
        console.print(f"✗ {error}", style="bold red")
        return 1
    console.print(table)
    console.print(
        "✓ healthy" if is_healthy else "✗ the model generated nothing", style="green" if is_healthy else "red"
    )
    return 0 if is_healthy else 1


def _residents() -> str:
    """The processes that windows share now; what follows is loaded beside them, for this check alone."""
    try:
        found = [answer for _, answer in processes.asked("status")]
    except DaemonError as error:
        return str(error)
    lines = [
        f"process {answer['process']}: {answer['model']}, {answer['phase']}, {answer['sharing']['windows']} windows, "
        f"{answer['memoryBytes'] / 1e6:.0f} MB, up {(time.time() - answer['sharing']['startedAt']) / 60:.0f} min"
        if answer
        else "one that does not answer; `starcoder-ls stop` ends it"
        for answer in found
    ]
    return "\n".join(lines) or "none"


def _completes(table: Table, chosen: settings.Settings) -> bool:
    """Load, complete once, and describe both in ``table``."""
    began = time.monotonic()
    with loaded(chosen) as engine:
        load_s = time.monotonic() - began
        status = engine.status()
        table.add_row("model", f"{status.model} ({status.architecture}, context {status.context_tokens} tokens)")
        table.add_row("family", families.find_family(status.special_tokens).name)
        table.add_row("adapters", ", ".join(f"{held.name} ({held.method})" for held in status.adapters) or "none")
        table.add_row("device", f"{status.device}, {status.dtype}, {status.memory_bytes / 1e6:.0f} MB of weights")
        table.add_row("loaded in", f"{load_s:.1f} s")
        text, timings = asyncio.run(_generated(engine, status.special_tokens))
        table.add_row("one completion", f"{timings.prompt_tokens} tokens read in {timings.prefill_ms:.0f} ms, "
                      f"then {timings.ms_per_token:.1f} ms per token: {text.strip()[:40]!r}")  # fmt: skip
        return timings.decode_steps > 0


async def _generated(engine: Engine, inventory: frozenset[str]) -> tuple[str, Timings]:
    """What the model writes at the cursor of ``_CODE``, as it comes: a model may be healthy and have little to say."""
    asked = fim.build_parts(families.find_family(inventory), inventory, _CODE, _BELOW, "greet.py", None)
    text, timings = "", Timings()
    async for chunk in engine.stream(Request(asked.parts, max_new_tokens=16)):
        text += chunk.text
        timings = chunk.timings or timings
    return text, timings
