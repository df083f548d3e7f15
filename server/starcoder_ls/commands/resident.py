"""``starcoder-ls resident``: the process that windows share; ``serve`` starts it.

Decides what a window's own options become here, where another folder is the current one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starcoder_ls import __version__, settings
from starcoder_ls.app import Server
from starcoder_ls.commands import stats
from starcoder_ls.commands.serve import engine_for, write_log
from starcoder_ls.commands.support import adapter_option
from starcoder_ls.daemon import daemon
from starcoder_ls.errors import SettingsError

logger = logging.getLogger(__name__)


def run(descriptor: int, path: Path) -> int:
    """Serve until nobody needs this process. A settings file that cannot be read is each window's message, not ours."""
    try:
        chosen = settings.load()
    except SettingsError:
        chosen = settings.Settings()
    write_log(chosen.log.level, is_detached=True)
    logger.info("starcoder-ls %s is resident", __version__)
    server = Server(engine_for, chosen)
    try:
        with stats.kept(server.metrics):
            return daemon.serve(server, descriptor, path, settings_of, chosen.sharing.idle_minutes * 60)
    except Exception:
        logger.exception("the resident process failed")
        raise


def settings_of(hello: Mapping[str, Any]) -> settings.Settings:
    """A window's: its settings file as it is now, under its options. Raises SettingsError."""
    file = Path(hello["settings"]) if hello.get("settings") else None
    overlay = dict(hello.get("overlay") or {})
    if adapter := hello.get("adapter"):
        overlay |= adapter_option.overlay(str(adapter), overlay, file)
    chosen = settings.load(overlay, file=file)
    folder = Path(str(hello.get("folder") or "/"))
    return settings.check(_here(chosen.model_dump(), folder), "the settings")


def _here(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths relative to the window's folder, made absolute; Hub ids look the same and stay."""
    tree["model"]["name"] = _path(tree["model"]["name"], folder)
    for adapter in tree["adapters"].values():
        adapter["path"] = _path(adapter["path"], folder)
    return tree


def _path(name: str, folder: Path) -> str:
    is_here = name != settings.BUNDLED and (folder / name).is_dir()
    return str((folder / name).absolute()) if is_here else name
