"""Reads from the arguments of ``starcoder-ls serve`` and the settings file which daemon a window needs.

It uses no validation library, since each window pays for the imports. The daemon validates the settings and rejects a
window whose settings are invalid.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.model_override import inherited

DEFAULTS: dict[str, Any] = {
    "name": "bundled",
    "revision": None,
    "tasks": ["completion"],
    "template": "auto",
    "device": "auto",
    "dtype": "auto",
    "quantization": "none",
    "max_memory": {},
    "cuda_graphs": "auto",
    "compile": "off",
    "document_ngrams": "auto",
    "offline": False,
    "threads": 0,
}
"""Defaults of ``settings.Model``, whose import would cost each window pydantic; a test keeps them equal. A key with its
default value counts as not set."""

REMOTE_DEFAULTS: dict[str, Any] = {
    "url": "",
    "token_file": "",
    "ca_file": "",
    "dialect": "auto",
    "model": "",
    "tokenizer": "",
    "tokenizer_sha256": "",
    "fallback": "none",
    "fallback_after_ms": 800,
    "prefill": "off",
}
"""Those of ``settings.Remote``."""

LOCAL = "local"
"""The value of ``--engine`` for a model on this machine."""

_OPTION_WRAPPERS = ("starcoder", "starcoder_ls", "starcoder-ls")


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """``overlay`` is the settings tree of the command line options, ``settings_file`` the file they name,
    ``file_model`` and ``file_remote`` its sections ``[model]`` and ``[remote]``."""

    overlay: dict[str, Any]
    adapter: str | None
    settings_file: str | None
    file_model: dict[str, Any]
    file_remote: dict[str, Any]

    def engine(self, initialize: Mapping[str, Any]) -> dict[str, Any]:
        """What decides which daemon serves: the model settings, and those of a remote model, without defaults."""
        remote = self.file_remote | self.overlay.get("remote", {}) | _section(initialize, "remote")
        return engine_settings(self.model(initialize), remote)

    def model(self, initialize: Mapping[str, Any]) -> dict[str, Any]:
        """The model settings that differ from the defaults. The params of ``initialize`` override the options, which
        override the file."""
        option = self.overlay.get("model", {})
        merged = inherited(self.file_model, option) | option
        model = _section(initialize, "model")
        return without_defaults(inherited(merged, model) | model)

    def hello(self) -> dict[str, Any]:
        """The first message of this window to the daemon."""
        return {
            "window": os.getpid(),
            "folder": _current_dir(),
            "overlay": self.overlay,
            "adapter": self.adapter,
            "settings": self.settings_file,
        }


def launch_options(arguments: list[str]) -> LaunchOptions | None:
    """Options from the arguments after ``serve``. None if they do not ask for a shared server or are invalid; the
    complete command line interface handles those."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--model", "-m")
    for name in ("--adapter", "--device", "--dtype", "--engine", "--settings", "--log-level"):
        parser.add_argument(name)
    parser.add_argument("--stdio", action="store_true")
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        return None
    try:
        file = _read_settings_file(options.settings)
    except (OSError, ValueError):
        return None
    sharing = file.get("sharing")
    is_off = isinstance(sharing, dict) and sharing.get("enabled") is False
    if unknown or is_off or sys.platform == "win32":
        return None
    model = {"name": _absolute(options.model), "device": options.device, "dtype": options.dtype}
    overlay: dict[str, Any] = {"model": {name: value for name, value in model.items() if value is not None}}
    if options.engine is not None:
        overlay["remote"] = {"url": "" if options.engine == LOCAL else options.engine}
    if options.log_level:
        overlay["log"] = {"level": options.log_level}
    settings_file = os.path.abspath(options.settings) if options.settings else None
    sections = [file[name] if isinstance(file.get(name), dict) else {} for name in ("model", "remote")]
    return LaunchOptions(overlay, _absolute(options.adapter), settings_file, *sections)


def engine_settings(model: Mapping[str, Any], remote: Mapping[str, Any]) -> dict[str, Any]:
    """One tree of the model settings and those of a remote model; without the latter where they are the defaults."""
    defaults = REMOTE_DEFAULTS.items()
    changed = {key: value for key, value in remote.items() if (key, value) not in defaults}
    return {**model, "remote": changed} if changed else dict(model)


def without_defaults(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model settings that differ from the defaults, with the absolute path of a model folder."""
    changed = {name: value for name, value in model.items() if name not in DEFAULTS or value != DEFAULTS[name]}
    return {**changed, "name": _absolute(changed["name"])} if isinstance(changed.get("name"), str) else changed


def _section(initialize: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of the settings in the params of ``initialize``; empty if there is none."""
    options = initialize.get("initializationOptions")
    if not isinstance(options, dict):
        return {}
    inner = next((options[wrapper] for wrapper in _OPTION_WRAPPERS if isinstance(options.get(wrapper), dict)), options)
    return inner[name] if isinstance(inner.get(name), dict) else {}


def _current_dir() -> str:
    try:
        return os.getcwd()
    except OSError:  # the directory was removed
        return "/"


def _absolute(name: str | None) -> str | None:
    """The absolute path of a folder, since the daemon has another current directory. A Hub id is returned as it is."""
    return os.path.abspath(name) if name and os.path.isdir(name) else name


def _read_settings_file(name: str | None) -> dict[str, Any]:
    """The tree of the file that ``settings.load`` would read. Raises OSError, ValueError."""
    if named := name or os.environ.get("STARCODER_LS_SETTINGS"):
        return tomllib.loads(Path(named).read_text(encoding="utf-8-sig"))
    from starcoder_ls.user_folders import config_folder  # with a library that is not needed otherwise

    path = config_folder() / "settings.toml"
    return tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
