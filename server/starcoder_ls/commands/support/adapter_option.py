"""The option ``--adapter``: a name in the settings, or a folder or Hub id. It does all tasks of the command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.errors import SettingsError
from starcoder_ls.routing import COMPLETION, INSTRUCT


def overlay(option: str, other_overlay: Mapping[str, Any], settings_file: Path | None) -> dict[str, Any]:
    """A settings overlay that adds the adapter ``option``, for all tasks, to those of the settings file.

    Raises SettingsError if it is neither a name in the settings nor a folder nor a Hub id.
    """
    adapters = settings.load(other_overlay, file=settings_file).resident_adapters()
    known = adapters.get(option)
    if known is None:
        if not re.search(r"[/\\]", option) and not Path(option).is_dir():
            names = ", ".join(adapters) or "none"
            raise SettingsError(
                f"--adapter {option}: the settings have no adapter of that name (there are: {names}), and there is "
                f"no such folder. Add `[adapters.{option}]` to the settings, or give a folder or a Hub id (owner/name)."
            )
        return {"adapters": {name_from_path(option): {"path": option, "tasks": (COMPLETION, INSTRUCT)}}}
    unrestricted = {"tasks": (COMPLETION, INSTRUCT), "languages": (), "files": ()}
    return {"adapters": {option: known.model_dump() | unrestricted}}


def adapter_name(option: str | None, config: settings.Settings) -> str | None:
    """The name that the adapter ``option`` has in ``config``, which was loaded with ``overlay``."""
    return option if option is None or option in config.resident_adapters() else name_from_path(option)


def name_from_path(path: str) -> str:
    """A valid name for the adapter at ``path``: its last component, with `-` for other characters."""
    last = path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-")[:64] or "adapter"
