"""``starcoder-ls setup``: lists models with what each needs here, downloads one, writes the settings.

Nothing is downloaded or written before the user agrees: at the terminal, in the editor, or with ``--yes``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.prompt import Confirm, Prompt
from rich.table import Table

from starcoder_ls import settings
from starcoder_ls.commands.support import checkpoint_names, model_catalog, setup_json
from starcoder_ls.commands.support import settings_file as settings_files
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.machine import Machine, inspect_machine
from starcoder_ls.commands.support.proposals import BUNDLED, Proposal, describe_size, propose
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.errors import SettingsError, StarcoderError
from starcoder_ls.settings import toml_file

ADAPTER_NAME = "instruct"
"""Of the table of the settings file for the adapter of a proposal."""


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """The command line options: an answer in advance to each question."""

    model: str | None = None
    quantization: str | None = None
    adapter: str | None = None
    accepts_all: bool = False
    may_download: bool = True
    is_list: bool = False
    is_json: bool = False


def run(options: SetupOptions, settings_file: Path | None, inspect: Callable[[Path], Machine] = inspect_machine) -> int:
    """Print the list, or write the settings. The exit code is 1 if the user declines.

    Raises ModelError or SettingsError; nothing is written then.
    """
    from starcoder_ls.engine.loading.hub_errors import hub_cache

    machine = inspect(hub_cache())
    offered = _offer(machine)
    file = settings_file or toml_file.settings_file()
    for section in ("model", "adapters"):
        settings_files.read_table(file, section)  # raises before anything is downloaded
    if options.is_json:
        if options.model and options.accepts_all:
            return _set_up_for_editor(options, offered, file)
        setup_json.print_list(machine, offered, file)
        return 0
    is_interactive = sys.stdin.isatty() and not options.accepts_all
    if options.is_list or (is_interactive and options.model is None):
        console = Console(highlight=False, markup=False, stderr=not options.is_list)
        console.print(_describe(machine))
        console.print(_table(offered))
    if options.is_list:
        return 0
    try:
        return _set_up(options, offered, file, is_interactive)
    except EOFError:  # the end of input where an answer was expected
        stderr.print("\nNothing was changed.")
        return 1


def _set_up(options: SetupOptions, offered: Sequence[Proposal], file: Path, is_interactive: bool) -> int:
    """The exit code. Raises ModelError, SettingsError, and EOFError at the end of input."""
    choice = _choose(options, offered, is_interactive)
    model = settings.validate({"model": _model_table(choice)}, "the given options").model
    may_download = options.may_download and choice.model != settings.BUNDLED
    if not options.accepts_all and not _is_agreed(choice, file, may_download, is_interactive):
        return 1
    if may_download:
        with _progress_bar() as on_progress:
            _download(model, choice.adapter, on_progress)
    _write_settings(file, choice)
    with_adapter = f" with {choice.adapter}" if choice.adapter else ""
    print(
        f"{file} now has {choice.model}{with_adapter}. Test it with `starcoder-ls doctor`, and restart your editor.\n"
        "No editor is set up yet? `starcoder-ls editor neovim` or `starcoder-ls editor vscode` says how."
    )
    return 0


def _set_up_for_editor(options: SetupOptions, offered: Sequence[Proposal], file: Path) -> int:
    """Set up the model of the options; progress, result and errors are printed as JSON. The exit code."""
    choice = _choose(options, offered, is_interactive=False)
    try:
        model = settings.validate({"model": _model_table(choice)}, "the given options").model
        if options.may_download and choice.model != settings.BUNDLED:
            _download(model, choice.adapter, setup_json.print_progress)
        _write_settings(file, choice)
    except StarcoderError as error:
        setup_json.print_error(error, choice.model)
        return 1
    setup_json.print_result(choice, file)
    return 0


def _offer(machine: Machine) -> list[Proposal]:
    from huggingface_hub import get_token

    from starcoder_ls.engine.loading import hub

    packages = [name for name in ("bitsandbytes", "torchao") if importlib.util.find_spec(name) is not None]
    downloaded = [model.name for model in model_catalog.CATALOG if hub.find_commit(model.name, None)]
    return propose(machine, packages, get_token() is not None, downloaded)


def _describe(machine: Machine) -> str:
    speed = f", read at {machine.bandwidth / 1e9:.0f} GB/s" if machine.bandwidth else ""
    return (
        f"{machine.name}: {describe_size(machine.free_bytes)} of memory free{speed}; "
        f"{describe_size(machine.free_disk_bytes)} of disk free"
    )


def _table(offered: Sequence[Proposal]) -> Table:
    """Fits into 80 columns."""
    table = Table("", "model", box=None, title_justify="left", caption_justify="left")
    for name in ("download", "memory", "quantized", "a token"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, proposal in enumerate(offered, start=1):
        time = proposal.ms_per_token
        table.add_row(
            str(number),
            f"{proposal.model}\n  {'; '.join(filter(None, (proposal.licence, proposal.remarks)))}",
            "here" if proposal.is_downloaded else describe_size(proposal.download_bytes),
            describe_size(proposal.memory_bytes),
            "" if proposal.quantization == "none" else proposal.quantization,
            f"{time:.0f} ms" if time else "",
            style="dim" if proposal.problem else None,
        )
    table.caption = (
        "actions: also explains and edits code. account: log in to the Hub and accept the licence first. The time for "
        "a token is estimated from the speed of the memory; a suggestion has about a dozen, and a CPU reads a new file "
        f"in a second or more. Licences as of {model_catalog.CHECKED}."
    )
    return table


def _choose(options: SetupOptions, offered: Sequence[Proposal], is_interactive: bool) -> Proposal:
    """The proposal that the options name, else that the user chooses, else the first.

    Adapter and quantization of the options replace those of the proposal.
    """
    choice = offered[0]
    if options.model is not None:
        name = checkpoint_names.absolute(options.model)
        choice = next((proposal for proposal in offered if proposal.model == name), None) or _unknown(name)
    elif is_interactive:
        numbers = [str(number) for number in range(1, len(offered) + 1)]
        choice = offered[int(Prompt.ask("Which", console=stderr, choices=numbers, default="1", show_choices=False)) - 1]
    adapter = choice.adapter
    if options.adapter is not None:
        adapter = checkpoint_names.absolute(options.adapter.strip()) if options.adapter.strip() else None
    return replace(choice, adapter=adapter, quantization=options.quantization or choice.quantization)


def _unknown(name: str) -> Proposal:
    """A model that is not in the catalogue: its sizes are known when it is loaded."""
    return replace(BUNDLED, model=name, tasks=model_catalog.tasks_of(name), licence="", is_downloaded=False)


def _is_agreed(choice: Proposal, file: Path, may_download: bool, is_interactive: bool) -> bool:
    """Raises SettingsError if there is no terminal to ask at."""
    if not is_interactive:
        raise SettingsError(
            f"Nothing was changed, because there is no terminal to ask whether to use {choice.model}. Add --yes to "
            "agree, or --list to see the models."
        )
    if choice.problem:
        stderr.print(f"{choice.model} {choice.problem}, more than is free. It will probably not load.")
    size = f" {describe_size(choice.download_bytes)}" if choice.download_bytes else " missing files"
    download = f"Download{size}, and write" if may_download and not choice.is_downloaded else "Write"
    return Confirm.ask(f"{download} {file}?", console=stderr, default=True)


def _model_table(proposal: Proposal) -> dict[str, Any]:
    return {
        "name": proposal.model,
        "quantization": proposal.quantization,
        "tasks": list(proposal.tasks),
        "template": "auto",
    }


def _write_settings(file: Path, choice: Proposal) -> None:
    """Write model and adapter. A revision, and an adapter of an earlier ``setup``, belong to another model.

    Raises SettingsError.
    """
    is_same = settings_files.read_table(file, "model").get("name") == choice.model
    settings_files.assign(file, "model", _model_table(choice) | ({} if is_same else {"revision": None}))
    old = settings_files.read_table(file, "adapters").get(ADAPTER_NAME)
    if choice.adapter:
        settings_files.put(file, ("adapters", ADAPTER_NAME), {"path": choice.adapter, "tasks": ["instruct"]})
    elif isinstance(old, dict) and model_catalog.is_catalog_adapter(str(old.get("path", ""))):
        settings_files.remove(file, ("adapters", ADAPTER_NAME))


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    """A callback that draws a progress bar, at a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bars:
        bar = bars.add_task("", total=1.0)
        yield lambda fraction, message: bars.update(bar, completed=fraction, description=message)


def _download(model: settings.Model, adapter: str | None, on_progress: ProgressCallback) -> None:
    """Download model and adapter and check their hashes.

    Raises ModelGated, with the page of the licence, ModelNotFound, also without a connection, ModelInvalid for damaged
    files, and AdapterInvalid.
    """
    from huggingface_hub.utils import logging as hub_logging

    from starcoder_ls.engine.loading.resolve import resolve_checkpoint

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # it announces each retry
    resolve_checkpoint(model, on_progress)
    if adapter:
        from starcoder_ls.engine.adapters.files import resolve_adapter

        resolve_adapter(settings.Adapter(path=adapter), model.offline, on_progress)
