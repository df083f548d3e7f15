"""``starcoder-ls train promote``: lets a version of a trained adapter serve, and ``train rollback`` the one before.

Servers that run notice the change and load the other version between two requests.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starcoder_ls import settings, settings_toml
from starcoder_ls.commands.support import settings_file as settings_files
from starcoder_ls.commands.support.adapter_check import check_adapter
from starcoder_ls.commands.train_gate import require_passed
from starcoder_ls.errors import SettingsError
from starcoder_ls.routing import COMPLETION

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version


def run(name: str, version_name: str | None, is_forced: bool, settings_file: Path | None) -> int:
    """Let a version (None: the newest) serve. The exit code is 0.

    Raises SettingsError if it did not pass the gate (unless ``is_forced``), ModelError if it does not fit the model of
    the settings; nothing is changed then.
    """
    from starcoder_ls.learning.finetuning.versions import AdapterVersions, utc_now

    versions = AdapterVersions(name)
    version = versions.find(version_name)
    if not is_forced:
        require_passed(version, version.gate)
    file = settings_file or settings_toml.settings_file()
    config = settings.load(file=settings_file if settings_file is None or settings_file.exists() else None)
    _require_unused_name(name, config, versions, file)
    if version.training.get("is_checkpoint"):
        versions.promote(version, utc_now())
        settings_files.assign(file, "model", {"name": str(versions.current_link)})
        print(f"{version.name} of {name} is the model in {file}. Servers load it when they start: `starcoder-ls stop`.")
        return 0
    check_adapter(config.model, settings.Adapter(path=str(version.folder)))
    versions.promote(version, utc_now())
    if name not in config.adapters:
        settings_files.put(file, ("adapters", name), {"path": str(versions.current_link), "tasks": [COMPLETION]})
    print(f"{version.name} of {name} serves now, also in servers that run")
    return 0


def run_rollback(name: str, settings_file: Path | None) -> int:
    """Let the version before the current one serve again, or none. The exit code is 0.

    Raises SettingsError if none serves.
    """
    from starcoder_ls.learning.finetuning.versions import AdapterVersions, utc_now

    versions = AdapterVersions(name)
    current = versions.current()
    if current is None:
        raise SettingsError(f"No version of {name} serves. `starcoder-ls train list` lists those there are.")
    previous = versions.roll_back(utc_now())
    if previous is None:
        _remove_from_settings(name, current, settings_file or settings_toml.settings_file())
        print(f"{current.name} of {name} was withdrawn; no version serves")
    else:
        print(f"{current.name} of {name} was withdrawn; {previous.name} serves again")
    return 0


def _remove_from_settings(name: str, current: Version, file: Path) -> None:
    if current.training.get("is_checkpoint"):
        settings_files.assign(file, "model", {"name": current.training["base"]})
    else:
        settings_files.remove(file, ("adapters", name))


def _require_unused_name(name: str, config: settings.Settings, versions: AdapterVersions, file: Path) -> None:
    """Raise SettingsError if the settings have another adapter of this name."""
    known = config.adapters.get(name)
    if known is not None and known.path != str(versions.current_link):
        raise SettingsError(
            f"{file} has another adapter {name} at {known.path}. Remove it with `starcoder-ls adapters remove {name}`, "
            "or train under another name."
        )
