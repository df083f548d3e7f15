"""The folders of this user in which starcoder-ls keeps files, where the platform wants them."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_NAME = "starcoder-ls"
_STATE_VARIABLE = "STARCODER_LS_STATE"


def config_folder() -> Path:
    """For the settings file."""
    return Path(platformdirs.user_config_dir(_NAME, appauthor=False))


def state_folder() -> Path:
    """For what is lost if it is deleted: `$STARCODER_LS_STATE`, or the platform's state folder."""
    return Path(os.environ.get(_STATE_VARIABLE) or platformdirs.user_state_dir(_NAME, appauthor=False))


def trained_adapters_folder() -> Path:
    """For the adapters that were trained on this machine."""
    return state_folder() / "adapters"


def cache_folder(kind: str) -> Path:
    """For files of one ``kind`` that can be made again."""
    return Path(platformdirs.user_cache_dir(_NAME, appauthor=False)) / kind


def log_folder() -> Path:
    return Path(platformdirs.user_log_dir(_NAME, appauthor=False))


def runtime_folder() -> Path:
    """For what belongs to a running process, such as the token of its clients."""
    return Path(platformdirs.user_runtime_dir(_NAME, appauthor=False))
