"""The command line of ``starcoder-ls adapters``. The module ``commands/adapters_VERB.py`` is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import DeviceOption, DtypeOption, JsonOption, ModelOption, SettingsOption, overlay_of

adapters = typer.Typer(help="The adapters that are loaded with the model.", no_args_is_help=True)


@adapters.command("list")
def adapters_list(
    settings: SettingsOption = None,
    is_json: JsonOption = False,
) -> None:
    """List the adapters of the settings. The exit code is 0 if the files of all of them are on this machine."""
    from starcoder_ls.commands.adapters_list import run

    raise typer.Exit(run(settings, is_json))


@adapters.command("add")
def adapters_add(
    name: Annotated[str, typer.Argument(help="Letters, digits, `-` and `_`.")],
    path: Annotated[str, typer.Argument(help="Folder or Hub id, such as bigcode/astraios-7b-parallel.")],
    task: Annotated[
        list[str] | None, typer.Option(help="A task of the adapter, such as completion or explain. Repeat for more.")
    ] = None,
    language: Annotated[list[str] | None, typer.Option(help="Use it for this language only. Repeat for more.")] = None,
    files: Annotated[list[str] | None, typer.Option(help="Use it for these paths only (gitignore patterns).")] = None,
    settings: SettingsOption = None,
) -> None:
    """Check that an adapter fits the model, and write it to the settings file."""
    from starcoder_ls.commands.adapters_add import run

    raise typer.Exit(run(name, path, settings, task or [], language or [], files or []))


@adapters.command("remove")
def adapters_remove(name: Annotated[str, typer.Argument()], settings: SettingsOption = None) -> None:
    """Remove an adapter from the settings file. The adapter's own files remain."""
    from starcoder_ls.commands.adapters_remove import run

    raise typer.Exit(run(name, settings))


@adapters.command("check")
def adapters_check(
    path: Annotated[str, typer.Argument(help="Folder, Hub id, or name in the settings.")],
    model: ModelOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Load an adapter onto the model, as the server does, and describe it."""
    from starcoder_ls.commands.adapters_check import run

    raise typer.Exit(run(path, overlay_of(model, None, device, dtype), settings, is_json))


@adapters.command("merge")
def adapters_merge(
    base: Annotated[str, typer.Argument(help="The base model: `bundled`, a folder or a Hub id.")],
    adapter: Annotated[list[str], typer.Argument(help="LoRA or (IA)3 adapters, which are merged in this order.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new checkpoint folder.")],
    settings: SettingsOption = None,
) -> None:
    """Write a new checkpoint with adapters merged into its weights."""
    from starcoder_ls.commands.adapters_merge import run

    raise typer.Exit(run(base, adapter, out, settings))
