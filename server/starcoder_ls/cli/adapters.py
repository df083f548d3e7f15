"""Arguments of ``starcoder-ls adapters …`` in, one of its verbs out.

Refuses to know what a verb does: ``commands/adapters.py`` is imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

adapters = typer.Typer(help="The adapters that run beside the model.", no_args_is_help=True)

ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="Instead of the model of the settings.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cuda, mps or cpu.")]
DtypeOption = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="A settings file instead of the user's own (TOML).", show_default=False),
]


@adapters.command("list")
def adapters_list(
    settings: SettingsOption = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """The adapters of the settings; exit code 0 means that the files of all are here."""
    from starcoder_ls.commands.adapters import show

    raise typer.Exit(show(settings, is_json))


@adapters.command("add")
def adapters_add(
    name: Annotated[str, typer.Argument(help="Letters, digits, `-` and `_`.")],
    path: Annotated[str, typer.Argument(help="Folder or Hub id, such as bigcode/astraios-7b-parallel.")],
    task: Annotated[list[str] | None, typer.Option(help="completion, explain, ...; repeat for more.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only for this language; repeat for more.")] = None,
    files: Annotated[list[str] | None, typer.Option(help="Only for such paths (gitignore patterns).")] = None,
    settings: SettingsOption = None,
) -> None:
    """Check an adapter against the model and write it into the settings."""
    from starcoder_ls.commands.adapters import add

    raise typer.Exit(add(name, path, settings, task or [], language or [], files or []))


@adapters.command("remove")
def adapters_remove(name: Annotated[str, typer.Argument()], settings: SettingsOption = None) -> None:
    """Take an adapter out of the settings; its files stay."""
    from starcoder_ls.commands.adapters import remove

    raise typer.Exit(remove(name, settings))


@adapters.command("check")
def adapters_check(
    path: Annotated[str, typer.Argument(help="Folder, Hub id, or name in the settings.")],
    model: ModelOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Load an adapter onto the model as the server would, and say what it is."""
    from starcoder_ls.commands.adapters import check

    given = {"name": model, "device": device, "dtype": dtype}
    overlay = {"model": {key: value for key, value in given.items() if value is not None}}
    raise typer.Exit(check(path, overlay, settings, is_json))


@adapters.command("merge")
def adapters_merge(
    base: Annotated[str, typer.Argument(help="The model: `bundled`, a folder or a Hub id.")],
    adapter: Annotated[list[str], typer.Argument(help="LoRA or (IA)3 adapters, merged in this order.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The new checkpoint folder.")],
    settings: SettingsOption = None,
) -> None:
    """Write a checkpoint with adapters in its weights."""
    from starcoder_ls.commands.adapters import merge

    raise typer.Exit(merge(base, adapter, out, settings))
