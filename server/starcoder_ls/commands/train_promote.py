"""``starcoder-ls train promote``: lets a version of a trained adapter serve, and ``train rollback`` the one before.

Servers that run notice the change of an adapter and load the other version between two requests. A checkpoint, or an
adapter that is merged into its base, becomes the model instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starcoder_ls import settings
from starcoder_ls.commands.support import settings_file as settings_files
from starcoder_ls.commands.support.adapter_check import check_adapter, loading_status
from starcoder_ls.commands.train_gate import require_passed
from starcoder_ls.errors import SettingsError
from starcoder_ls.routing import COMPLETION
from starcoder_ls.settings import toml_file

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version


EDIT_TASKS = ("fix", "rewrite", "simplify")
"""The actions of an adapter that was trained on edits."""


def run(
    name: str,
    version_name: str | None,
    is_forced: bool,
    settings_file: Path | None,
    *,
    is_merged: bool = False,
    watch_days: float = 0.0,
) -> int:
    """Let a version (None: the newest) serve. The exit code is 0.

    ``is_merged``: as a checkpoint, into which it is merged. ``watch_days``: how long its feedback is compared with that
    before. Raises SettingsError if it did not pass the gate (unless ``is_forced``), ModelError if it does not fit the
    model of the settings, AdapterInvalid if it cannot be merged exactly; nothing is changed then.
    """
    from starcoder_ls.learning.finetuning.versions import AdapterVersions, utc_now

    versions = AdapterVersions(name)
    version = versions.find(version_name)
    if not is_forced:
        require_passed(version, version.gate)
    file = settings_file or toml_file.settings_file()
    config = settings.load(file=settings_file if settings_file is None or settings_file.exists() else None)
    _require_unused_name(name, config, versions, file)
    if not version.training.get("is_checkpoint"):
        _prepare_adapter(versions, version, _base_of(config, versions, version), is_merged)
    versions.promote(version, utc_now(), is_merged, watch_days)
    print(_serve(version, versions, file))
    if watch_days:
        print(
            f"What becomes of suggestions is compared for {watch_days:g} days with those before. `starcoder-ls train "
            "list` and `starcoder-ls stats` have the result."
        )
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
    was_model = versions.is_merged or current.training.get("is_checkpoint")
    previous, file = versions.roll_back(utc_now()), settings_file or toml_file.settings_file()
    if previous is None:
        _withdraw(current, versions, file)
        ended = " Servers load the base when they start: `starcoder-ls stop`." if was_model else ""
        print(f"{current.name} of {name} was withdrawn; no version serves.{ended}")
    else:
        print(f"{current.name} of {name} was withdrawn. {_serve(previous, versions, file)}")
    return 0


def _base_of(config: settings.Settings, versions: AdapterVersions, version: Version) -> settings.Model:
    """The model of the settings; where that is an earlier version as a checkpoint, the base of ``version``."""
    if config.model.name in map(str, (versions.current_link, versions.merged_link)):
        return config.model.model_copy(update={"name": version.training["base"]})
    return config.model


def _prepare_adapter(versions: AdapterVersions, version: Version, base: settings.Model, is_merged: bool) -> None:
    """Check that the version fits ``base``, and merge it if it is to serve so. Raises ModelError, SettingsError."""
    adapter = settings.Adapter(path=str(version.folder))
    check_adapter(base, adapter)
    out = version.folder / versions.merged_link.name
    if is_merged and not out.exists():
        from starcoder_ls.engine.adapters.merge import merge

        with loading_status() as on_progress:
            merge(base, [adapter], out, on_progress)


def _serve(version: Version, versions: AdapterVersions, file: Path) -> str:
    """Name the current version in the settings, as an adapter or as the model; a sentence. Raises SettingsError."""
    is_checkpoint = version.training.get("is_checkpoint")
    if is_checkpoint or versions.is_merged:
        path = versions.current_link if is_checkpoint else versions.merged_link
        settings_files.assign(file, "model", {"name": str(path)})
        settings_files.remove(file, ("adapters", versions.name))
        how = "is the model" if is_checkpoint else "is merged into its base, which is the model"
        return (
            f"{version.name} of {versions.name} {how} in {file}. Servers load it when they start: `starcoder-ls stop`."
        )
    _restore_base(version, versions, file)
    config = settings.load(file=file if file.exists() else None)
    if versions.name not in config.adapters:
        table = {"path": str(versions.current_link), **_use_of(version)}
        settings_files.put(file, ("adapters", versions.name), table)
    return f"{version.name} of {versions.name} serves now, also in servers that run."


def _use_of(version: Version) -> dict[str, object]:
    """What the adapter is used for in the settings: completion, or actions that change code."""
    from starcoder_ls.learning.finetuning.adapter_card import EDITS

    if version.training.get("objective") == EDITS:
        return {"tasks": list(EDIT_TASKS), "template": settings.EDIT_TEMPLATE}
    return {"tasks": [COMPLETION]}


def _withdraw(version: Version, versions: AdapterVersions, file: Path) -> None:
    _restore_base(version, versions, file)
    settings_files.remove(file, ("adapters", versions.name))


def _restore_base(version: Version, versions: AdapterVersions, file: Path) -> None:
    """If the model of the settings is a version, name its base in its place."""
    name = str(settings_files.read_table(file, "model").get("name"))
    if name in map(str, (versions.current_link, versions.merged_link)):
        settings_files.assign(file, "model", {"name": version.training["base"]})


def _require_unused_name(name: str, config: settings.Settings, versions: AdapterVersions, file: Path) -> None:
    """Raise SettingsError if the settings have another adapter of this name."""
    known = config.adapters.get(name)
    if known is not None and known.path != str(versions.current_link):
        raise SettingsError(
            f"{file} has another adapter {name} at {known.path}. Remove it with `starcoder-ls adapters remove {name}`, "
            "or train under another name."
        )
