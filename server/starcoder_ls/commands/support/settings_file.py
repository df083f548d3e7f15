"""Edits of a settings file that keep the user's comments and formatting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from starcoder_ls.atomic_files import write_atomically
from starcoder_ls.errors import SettingsError


def read_table(file: Path, section: str) -> dict[str, Any]:
    """The table ``[section]``; empty if there is none. Raises SettingsError."""
    return dict(_table(file, _read(file), section).unwrap())


def put(file: Path, path: tuple[str, str], values: Mapping[str, Any]) -> None:
    """Write the table ``[section.name]``, replacing one of that name. Raises SettingsError."""
    document = _read(file)
    section, name = path
    if section not in document:
        document[section] = tomlkit.table(is_super_table=True)
    table = tomlkit.table()
    for key, value in values.items():
        table[key] = value
    _table(file, document, section)[name] = table
    _write(file, document)


def assign(file: Path, section: str, values: Mapping[str, Any]) -> None:
    """Set keys of ``[section]`` and keep its others; None removes a key. Raises SettingsError."""
    document = _read(file)
    if section not in document:
        document[section] = tomlkit.table()
    table = _table(file, document, section)
    for key, value in values.items():
        if value is not None:
            table[key] = value
        elif key in table:
            del table[key]
    _write(file, document)


def remove(file: Path, path: tuple[str, str]) -> bool:
    """Remove the table ``[section.name]``. Returns False if there is none. Raises SettingsError."""
    document = _read(file)
    section, name = path
    if name not in _table(file, document, section):
        return False
    del document[section][name]
    if not document[section]:
        del document[section]
    _write(file, document)
    return True


def _table(file: Path, document: tomlkit.TOMLDocument, section: str) -> Any:
    """The part of ``document``, which can be changed; an empty table if there is none."""
    table = document.get(section, tomlkit.table())
    if not isinstance(table, Mapping):
        raise SettingsError(
            f"`{section}` in {file} must be a table [{section}]. Correct it first. Nothing was changed."
        )
    return table


def _read(file: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(file.read_text(encoding="utf-8-sig")) if file.exists() else tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}. Correct it first. Nothing was changed.") from error


def _write(file: Path, document: tomlkit.TOMLDocument) -> None:
    """Replace the file atomically; a link stays a link."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, tomlkit.dumps(document).encode(), mode=None if file.exists() else 0o600)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}. Nothing was changed.") from error
