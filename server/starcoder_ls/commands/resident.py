"""``starcoder-ls resident``: the daemon that windows share; ``serve`` spawns it.

It resolves the options of each window, whose current folder differs from the daemon's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from starcoder_ls import __version__, settings
from starcoder_ls.app import Server
from starcoder_ls.commands.support import adapter_option, crash_report, metrics_files
from starcoder_ls.commands.support.engine_factory import ConfiguredEngineFactory
from starcoder_ls.commands.support.log_file import configure_logging, log_in_more_detail
from starcoder_ls.daemon import daemon, heartbeat
from starcoder_ls.errors import SettingsError

logger = logging.getLogger(__name__)


def run(descriptor: int, path: Path) -> int:
    """Serve until the daemon is no longer needed.

    An unreadable settings file is no error here: each window gets a message about it when it connects.
    """
    try:
        config = settings.load()
    except SettingsError:
        config = settings.Settings()
    configure_logging(config.log.level, has_stderr=False)
    logger.info("starcoder-ls %s runs as daemon", __version__)
    crash_report.log_ended()
    server = Server(ConfiguredEngineFactory(), config)
    try:
        with metrics_files.recorded(server.metrics):
            arm = partial(heartbeat.arm_watchdog, file=crash_report.open_file())
            return daemon.serve(server, descriptor, path, _settings_of_window, config.sharing.idle_minutes * 60, arm)
    except Exception:
        logger.exception("the daemon failed")
        raise


def _settings_of_window(hello: Mapping[str, Any]) -> settings.Settings:
    """What ``settings_of`` returns; from now on, messages are logged that this window wants. Raises SettingsError."""
    config = settings_of(hello)
    log_in_more_detail(config.log.level)
    return config


def settings_of(hello: Mapping[str, Any]) -> settings.Settings:
    """The settings of a window: its settings file as it is now, overridden by its options. Raises SettingsError."""
    file = Path(hello["settings"]) if hello.get("settings") else None
    overlay = dict(hello.get("overlay") or {})
    if adapter := hello.get("adapter"):
        overlay |= adapter_option.overlay(str(adapter), overlay, file)
    config = settings.load(overlay, file=file)
    folder = Path(str(hello.get("folder") or "/"))
    return settings.validate(_with_absolute_paths(config.model_dump(), folder), "the settings")


def _with_absolute_paths(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """``tree`` with paths relative to the window's folder made absolute. Hub ids stay as they are."""
    tree["model"]["name"] = _absolute_path(tree["model"]["name"], folder)
    for key in ("token_file", "ca_file", "tokenizer"):
        name = tree["remote"][key]
        is_file = name not in ("", settings.BUNDLED) and (folder / name).exists()
        tree["remote"][key] = str((folder / name).absolute()) if is_file else name
    for adapter in tree["adapters"].values():
        adapter["path"] = _absolute_path(adapter["path"], folder)
    return tree


def _absolute_path(name: str, folder: Path) -> str:
    is_folder = name != settings.BUNDLED and (folder / name).is_dir()
    return str((folder / name).absolute()) if is_folder else name
