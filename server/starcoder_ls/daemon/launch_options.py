"""What the arguments of ``starcoder-ls serve`` and the settings file say about sharing, read without any library.

Decides which model a window needs, as far as the choice of a process goes. Refuses to know what is valid: the process
that uses the settings says that.
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

DEFAULTS: dict[str, Any] = {
    "name": "bundled",
    "revision": None,
    "tasks": ["completion"],
    "device": "auto",
    "dtype": "auto",
    "quantization": "none",
    "max_memory": {},
    "cuda_graphs": "auto",
    "document_ngrams": "auto",
    "offline": False,
    "threads": 0,
}
"""Of ``settings.Model``, whose import each window would pay for; a test keeps them equal. Who says one says nothing."""

_WRAPPERS = ("starcoder", "starcoder_ls", "starcoder-ls")


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """``overlay`` is the tree that the options make, ``settings`` the file they name, ``in_file`` its model section."""

    overlay: dict[str, Any]
    adapter: str | None
    settings: str | None
    in_file: dict[str, Any]

    def model(self, initialize: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the model that are not the default, in the file, the options, or ``initialize``."""
        merged = dict(self.in_file)
        merged |= self.overlay.get("model", {})
        options = initialize.get("initializationOptions")
        if isinstance(options, dict):
            inner = next((options[name] for name in _WRAPPERS if isinstance(options.get(name), dict)), options)
            merged |= inner["model"] if isinstance(inner.get("model"), dict) else {}
        return unusual(merged)

    def hello(self) -> dict[str, Any]:
        """What the resident process is told of this window."""
        return {
            "window": os.getpid(),
            "folder": _folder(),
            "overlay": self.overlay,
            "adapter": self.adapter,
            "settings": self.settings,
        }


def launch_options(arguments: list[str]) -> LaunchOptions | None:
    """From the arguments after ``serve``; None where they ask for something else than a shared server, or are wrong:
    the full command line takes those."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for names in (("--model", "-m"), ("--adapter",), ("--device",), ("--dtype",), ("--settings",), ("--log-level",)):
        parser.add_argument(*names)
    parser.add_argument("--stdio", action="store_true")
    try:
        given, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        return None
    try:
        file = _file(given.settings)
    except (OSError, ValueError):
        return None
    sharing, said = file.get("sharing"), file.get("model")
    is_off = isinstance(sharing, dict) and sharing.get("enabled") is False
    if rest or is_off or sys.platform == "win32":
        return None
    model = {"name": _absolute(given.model), "device": given.device, "dtype": given.dtype}
    overlay: dict[str, Any] = {"model": {name: value for name, value in model.items() if value is not None}}
    if given.log_level:
        overlay["log"] = {"level": given.log_level}
    settings = os.path.abspath(given.settings) if given.settings else None
    return LaunchOptions(overlay, _absolute(given.adapter), settings, said if isinstance(said, dict) else {})


def unusual(model: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is the default, and a folder by its full name."""
    kept = {name: value for name, value in model.items() if name not in DEFAULTS or value != DEFAULTS[name]}
    return {**kept, "name": _absolute(kept["name"])} if isinstance(kept.get("name"), str) else kept


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return "/"


def _absolute(name: str | None) -> str | None:
    """A folder here is another one, or none, where the resident process lives; a Hub id stays as it is."""
    return os.path.abspath(name) if name and os.path.isdir(name) else name


def _file(given: str | None) -> dict[str, Any]:
    """As settings.load finds it, which would cost every window pydantic. Raises OSError, ValueError."""
    if named := given or os.environ.get("STARCODER_LS_SETTINGS"):
        return tomllib.loads(Path(named).read_text(encoding="utf-8-sig"))
    import platformdirs

    path = Path(platformdirs.user_config_dir("starcoder-ls", appauthor=False)) / "settings.toml"
    return tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
