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
from starcoder_ls.commands.headless import loaded
from starcoder_ls.completion import prompt
from starcoder_ls.completion.suggest import Cursor, suggest
from starcoder_ls.errors import StarcoderError

_CODE = "def greet(name):\n    "
_LIBRARIES = ("torch", "transformers", "accelerate", "peft", "pygls")


def run(overlay: dict[str, Any], file: Path | None) -> int:
    """0 if a completion came back, else 1."""
    console = Console(highlight=False)
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
    try:
        is_healthy = _completes(table, settings.load(overlay, file=file))
    except StarcoderError as error:
        console.print(table)
        console.print(f"✗ {error}", style="bold red")
        return 1
    console.print(table)
    console.print("✓ healthy" if is_healthy else "✗ the model answered nothing", style="green" if is_healthy else "red")
    return 0 if is_healthy else 1


def _completes(table: Table, chosen: settings.Settings) -> bool:
    """Load, complete once, and describe both in ``table``."""
    began = time.monotonic()
    with loaded(chosen.model) as engine:
        load_s = time.monotonic() - began
        status = engine.status()
        table.add_row("model", f"{status.model} ({status.architecture}, context {status.context_tokens} tokens)")
        table.add_row("family", prompt.family_of(status.special_tokens).name)
        table.add_row("adapter", ", ".join(status.adapters) or "none")
        table.add_row("device", f"{status.device}, {status.dtype}, {status.memory_bytes / 1e6:.0f} MB of weights")
        table.add_row("loaded in", f"{load_s:.1f} s")
        cursor = Cursor(_CODE, len(_CODE), "python", "greet.py", "doctor")
        found = asyncio.run(suggest(engine, cursor, chosen.inline_completion))
        if not found:
            return False
        timings = found[0].timings
        per_token = timings.decode_ms / max(timings.decode_steps, 1)
        table.add_row("completion", f"{found[0].text.strip().splitlines()[0]!r} in "
                      f"{timings.prefill_ms + timings.decode_ms:.0f} ms ({per_token:.1f} ms per token)")  # fmt: skip
        return True
