"""The editor clients of this installation: in a wheel they are beside the package, in a clone below ``editors``.

``setup.py`` copies them into the wheel.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import starcoder_ls

_PACKAGE = Path(starcoder_ls.__file__).parent
IN_WHEEL = _PACKAGE / "editor_files"
CLONE = _PACKAGE.parents[1]
EXTENSION = "starcoder-ls.vsix"


def neovim_plugin() -> Path | None:
    """The folder of the Neovim plug-in; None if this installation has none."""
    folders = (IN_WHEEL / "neovim", CLONE / "editors" / "neovim")
    return next((folder for folder in folders if (folder / "lua" / "starcoder").is_dir()), None)


def vscode_extension() -> Path | None:
    """The file of the VS Code extension; None if it was not built."""
    files = (IN_WHEEL / "vscode" / EXTENSION, CLONE / "editors" / "vscode" / EXTENSION)
    return next((file for file in files if file.is_file()), None)


def can_build_extension() -> bool:
    """Whether this is a clone, which has the sources of the extension."""
    return (CLONE / "editors" / "vscode" / "package.json").is_file()


def server_command() -> list[str]:
    """The command that starts the server of this installation from any folder and environment."""
    suffix = ".exe" if os.name == "nt" else ""
    program = Path(sys.executable).with_name(f"starcoder-ls{suffix}")
    return [str(program), "serve"] if program.is_file() else [sys.executable, "-m", "starcoder_ls", "serve"]
