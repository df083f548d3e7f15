"""``starcoder-ls editor vscode``: says where the VS Code extension of this installation is, and how to install it."""

from __future__ import annotations

import json

import typer

from starcoder_ls.commands.support import editor_files
from starcoder_ls.errors import SettingsError


def run() -> int:
    """Print the commands. Raises SettingsError if this installation has no extension and cannot build it."""
    extension = editor_files.vscode_extension()
    if extension is None and not editor_files.can_build_extension():
        raise SettingsError(
            "This installation has no VS Code extension. In a clone of starcoder-ls, `make vsix` builds one."
        )
    if extension is None:
        typer.echo(
            f"Build the extension with Node.js 20:\n  make -C {editor_files.CLONE} vsix\nThen run this command again."
        )
        return 0
    typer.echo(
        f'Install the extension:\n  code --install-extension "{extension}"\n'
        "It finds the server in the active Python environment, on the PATH or where uv and pipx install it. "
        "Elsewhere, set its path:\n"
        f'  "starcoder.server.command": {json.dumps(editor_files.server_command())}'
    )
    return 0
