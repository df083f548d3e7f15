"""``--adapter``: a name from the settings, or a folder or Hub id, used for all tasks of one command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.errors import SettingsError
from starcoder_ls.routing import COMPLETION, INSTRUCT


def overlay(given: str, others: Mapping[str, Any], file: Path | None) -> dict[str, Any]:
    """The settings that make ``given`` resident beside those of the settings file. Raises SettingsError."""
    adapters = settings.load(others, file=file).resident_adapters()
    known = adapters.get(given)
    if known is None:
        if not re.search(r"[/\\]", given) and not Path(given).is_dir():
            names = ", ".join(adapters) or "none"
            raise SettingsError(
                f"--adapter {given}: the settings have no adapter of that name (there are: {names}), and there is "
                f"no such folder. Add `[adapters.{given}]` to the settings, or give a folder or a Hub id (owner/name)."
            )
        return {"adapters": {name_of(given): {"path": given, "tasks": (COMPLETION, INSTRUCT)}}}
    anywhere = {"tasks": (COMPLETION, INSTRUCT), "languages": (), "files": ()}
    return {"adapters": {given: known.model_dump() | anywhere}}


def in_use(given: str | None, chosen: settings.Settings) -> str | None:
    """The name under which ``overlay`` put ``given`` into ``chosen``."""
    return given if given is None or given in chosen.adapters or given in chosen.resident_adapters() else name_of(given)


def name_of(path: str) -> str:
    """A valid name for the adapter at ``path``: its last part, with `-` for what a name cannot hold."""
    last = path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-")[:64] or "adapter"
