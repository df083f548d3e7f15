"""The name of a checkpoint in the settings: the absolute path of a folder, or a Hub id."""

from __future__ import annotations

from pathlib import Path

from starcoder_ls import settings


def absolute(name: str) -> str:
    """The absolute path of a folder, since editors start the server in other folders. A Hub id stays as it is."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if name != settings.BUNDLED and folder.exists() else name
