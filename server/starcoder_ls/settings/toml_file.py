"""Finds the settings file and reads its tree, before anything in it is validated."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from starcoder_ls.errors import SettingsError
from starcoder_ls.settings.errors import shorten
from starcoder_ls.user_folders import config_folder

_FILE_VARIABLE = "STARCODER_LS_SETTINGS"


def settings_file() -> Path:
    """The user's settings file: `$STARCODER_LS_SETTINGS`, or the one in the platform's configuration folder."""
    if path := os.environ.get(_FILE_VARIABLE):
        return Path(path)
    return config_folder() / "settings.toml"


def is_file_named() -> bool:
    """Whether the environment names a settings file, which must exist then."""
    return bool(os.environ.get(_FILE_VARIABLE))


def read_toml(path: Path) -> dict[str, Any]:
    """Raises SettingsError if the file cannot be read or is not TOML in UTF-8, with or without a BOM."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text. Save it as UTF-8, or remove it.") from error
    except (ValueError, RecursionError) as error:  # also numbers of 5,000 digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else shorten(error)
        raise SettingsError(f"{path} is not valid TOML: {reason}. Correct it or remove it.") from error
