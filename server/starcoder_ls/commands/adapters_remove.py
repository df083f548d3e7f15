"""``starcoder-ls adapters remove``: removes an adapter from the settings file."""

from __future__ import annotations

from pathlib import Path

from starcoder_ls.commands.support import settings_file as settings_files
from starcoder_ls.errors import SettingsError
from starcoder_ls.settings import toml_file


def run(name: str, settings_file: Path | None) -> int:
    """Remove ``[adapters.NAME]``; the files of the adapter remain. The exit code is 0.

    Raises SettingsError if there is no such table.
    """
    file = settings_file or toml_file.settings_file()
    if not settings_files.remove(file, ("adapters", name)):
        raise SettingsError(f"{file} has no adapter {name}. `starcoder-ls adapters list` lists those there are.")
    print(f"{name} was removed from {file}; the adapter's files are unchanged")
    return 0
