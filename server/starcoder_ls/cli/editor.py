"""The command line of ``starcoder-ls editor``. The module ``commands/editor_VERB.py`` is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

editor = typer.Typer(help="Connect an editor to this installation.", no_args_is_help=True)


@editor.command("neovim")
def editor_neovim(
    is_written: Annotated[
        bool, typer.Option("--write", help="Write it to a file that Neovim loads when it starts.")
    ] = False,
) -> None:
    """Print the configuration for Neovim 0.12 or newer, with the plug-in of this installation."""
    from starcoder_ls.commands.editor_neovim import run

    raise typer.Exit(run(is_written))


@editor.command("vscode")
def editor_vscode() -> None:
    """Print how to install the extension for VS Code."""
    from starcoder_ls.commands.editor_vscode import run

    raise typer.Exit(run())
