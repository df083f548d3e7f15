"""``starcoder-ls editor neovim``: prints or writes a Neovim configuration for the plug-in of this installation."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import typer

from starcoder_ls.commands.support import editor_files
from starcoder_ls.context.file_reader import read_file
from starcoder_ls.errors import SettingsError

_MARK = "-- StarCoder for Neovim 0.12 or newer, by `starcoder-ls editor neovim`."
_MAX_BYTES = 1024 * 1024
_CONFIGURATION = """\
{mark}
vim.opt.runtimepath:append({plugin})
vim.cmd.runtime("plugin/starcoder.lua") -- the command :Starcoder
require("starcoder").setup({{
  cmd = {{ {command} }},
  maps = true, -- <Tab> accepts all, <C-Right> a word, <C-Down> a line; <M-]> shows another, <C-]> hides it
}})
"""


def run(is_written: bool) -> int:
    """Print the configuration, or write it and print its path. Raises SettingsError."""
    plugin = editor_files.neovim_plugin()
    if plugin is None:
        raise SettingsError("This installation has no Neovim plug-in. Install starcoder-ls again.")
    text = configuration(plugin, editor_files.server_command())
    if not is_written:
        typer.echo(text, nl=False)
        return 0
    file = configuration_file()
    write(file, text)
    typer.echo(f"Written: {file}\nNeovim loads it when it starts; remove the file to undo this.")
    typer.echo("`:checkhealth starcoder` says whether it works.")
    return 0


def configuration(plugin: Path, command: Sequence[str]) -> str:
    """A Lua script that enables the plug-in in the folder ``plugin`` with the server ``command``."""
    return _CONFIGURATION.format(mark=_MARK, plugin=_lua(str(plugin)), command=", ".join(map(_lua, command)))


def configuration_file() -> Path:
    """A file in the folder of the user's configuration whose scripts Neovim runs after init.lua."""
    if folder := os.environ.get("XDG_CONFIG_HOME"):
        base = Path(folder)
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path.home() / ".config"
    return base / (os.environ.get("NVIM_APPNAME") or "nvim") / "plugin" / "starcoder_ls.lua"


def write(file: Path, text: str) -> None:
    """Write ``text``. Raises SettingsError if the file was not written by this command, or cannot be written."""
    try:
        if file.exists() and not read_file(file, _MAX_BYTES).startswith(_MARK.encode()):
            raise SettingsError(f"{file} exists and was not written by this command. Move it away first.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}.") from error


def _lua(text: str) -> str:
    """A Lua string literal; JSON's escapes of quotes and backslashes are Lua's too."""
    return json.dumps(text, ensure_ascii=False)
