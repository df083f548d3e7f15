"""``starcoder-ls doctor``: checks device, model and adapters with one completion."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from rich.console import Console
from rich.table import Table

from starcoder_ls import __version__, settings
from starcoder_ls.commands import processes
from starcoder_ls.commands.support.engine_factory import ConfiguredEngineFactory, loaded_engine
from starcoder_ls.completion.prompt import families, fim
from starcoder_ls.errors import DaemonError, StarcoderError
from starcoder_ls.generation import AdapterStatus, Engine, Request, Status, Timings
from starcoder_ls.settings import toml_file

if TYPE_CHECKING:
    from starcoder_ls.commands.support.remote_report import Finding

_CODE_BEFORE = "def greet(name):\n    "
_CODE_AFTER = "\n\n\nprint(greet('world'))\n"
_LIBRARIES = ("torch", "transformers", "accelerate", "peft", "pygls")


def run(overlay: dict[str, Any], settings_file: Path | None) -> int:
    """Print the findings. The exit code is 0 if the model generated something and each adapter of a server works."""
    console = Console(highlight=False, markup=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    file = toml_file.settings_file() if settings_file is None else settings_file
    installed = [name for name in _LIBRARIES if find_spec(name) is not None]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in installed)
    table.add_row("starcoder-ls", f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    table.add_row("libraries", versions)
    table.add_row("settings", f"{file} {'' if file.is_file() else '(missing: defaults)'}")
    memory = psutil.virtual_memory()
    table.add_row("machine", f"{psutil.cpu_count(logical=False) or psutil.cpu_count()} cores, "
                             f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free")  # fmt: skip
    table.add_row("daemons", _describe_daemons())
    try:
        problems = _find_problems(table, settings.load(overlay, file=settings_file))
    except StarcoderError as error:
        console.print(table)
        console.print(f"✗ {error}", style="bold red")
        return 1
    console.print(table)
    for problem in problems:
        console.print(f"✗ {problem}", style="bold red")
    if not problems:
        console.print("✓ healthy", style="green")
    return 1 if problems else 0


def _describe_daemons() -> str:
    """The daemons that run now. The check itself loads the model separately."""
    try:
        answers = [answer for _, answer in processes.query_daemons("status")]
    except DaemonError as error:
        return str(error)
    lines = [
        f"process {answer['process']}: {answer['model']}, {answer['phase']}, {answer['sharing']['windows']} windows, "
        f"{answer['memoryBytes'] / 1e6:.0f} MB, up {(time.time() - answer['sharing']['startedAt']) / 60:.0f} min"
        if answer
        else "a daemon that does not answer; `starcoder-ls stop` ends it"
        for answer in answers
    ]
    return "\n".join(lines) or "none"


def _find_problems(table: Table, config: settings.Settings) -> list[str]:
    """Load the model, complete once, add both to ``table``, and return a sentence for each thing that does not work.

    Raises ModelError, EngineError.
    """
    problems = []
    started_s = time.monotonic()
    config = config.model_copy(update={"remote": config.remote.model_copy(update={"fallback": "none"})})
    with loaded_engine(config, ConfiguredEngineFactory(is_process_ending=True)) as engine:
        load_s = time.monotonic() - started_s
        status = engine.status()
        details = f"{status.architecture}, " if status.architecture else ""
        table.add_row("model", f"{status.model} ({details}context {status.context_tokens} tokens)")
        table.add_row("family", families.find_family(status.special_tokens).name)
        if config.remote.url:
            for finding in _describe_server(engine, config):
                table.add_row(finding.name, finding.text)
                problems += [finding.problem] if finding.problem else []
        else:
            for row in _describe_local(status, config):
                table.add_row(*row)
        if status.message:
            table.add_row("note", status.message)
        table.add_row("loaded in", f"{load_s:.1f} s")
        text, timings = asyncio.run(_generate(engine, status.special_tokens))
        table.add_row("one completion", f"{timings.prompt_tokens} tokens read in {timings.prefill_ms:.0f} ms, "
                      f"then {timings.ms_per_token:.1f} ms per token: {text.strip()[:40]!r}")  # fmt: skip
        return problems if timings.decode_steps else [*problems, "The model generated nothing."]


def _describe_server(engine: Engine, config: settings.Settings) -> Iterator[Finding]:
    from starcoder_ls.commands.support.remote_report import describe_server
    from starcoder_ls.remote.remote_engine import RemoteEngine

    assert isinstance(engine, RemoteEngine)
    return describe_server(engine, config)


def _describe_local(status: Status, config: settings.Settings) -> Iterator[tuple[str, str]]:
    from starcoder_ls.engine.loading import hub

    if commit := hub.find_commit(config.model.name, config.model.revision):
        yield "commit", commit
    adapters = [describe_adapter(adapter, config.resident_adapters()) for adapter in status.adapters]
    yield "adapters", ", ".join(adapters) or "none"
    yield "device", f"{status.device}, {status.dtype}, {status.memory_bytes / 1e6:.0f} MB of weights"


def describe_adapter(adapter: AdapterStatus, configured: Mapping[str, settings.Adapter]) -> str:
    """Name, method, and the commit if it was downloaded."""
    from starcoder_ls.engine.loading import hub

    source = configured.get(adapter.name)
    commit = hub.find_commit(source.path, source.revision) if source else ""
    return f"{adapter.name} ({adapter.method}{f', commit {commit}' if commit else ''})"


async def _generate(engine: Engine, special_tokens: frozenset[str]) -> tuple[str, Timings]:
    """The model's unprocessed text after ``_CODE_BEFORE``: postprocessing could reject the text of a healthy model."""
    prompt = fim.build_parts(
        families.find_family(special_tokens), special_tokens, _CODE_BEFORE, _CODE_AFTER, "greet.py", None
    )
    text, timings = "", Timings()
    async for chunk in engine.stream(Request(prompt.parts, max_new_tokens=16)):
        text += chunk.text
        timings = chunk.timings or timings
    return text, timings
