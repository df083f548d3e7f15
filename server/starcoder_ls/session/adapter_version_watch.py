"""Notices that another version of an adapter that was trained on this machine serves now.

`train promote` switches a link and may add the adapter to the settings file; `train rollback` undoes both. No other
change of the settings file is followed: that is the editor's task. An adapter that is named by its dated folder, or not
in the settings file, stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from starcoder_ls import user_folders
from starcoder_ls.errors import SettingsError
from starcoder_ls.feedback_store.promotions import CURRENT
from starcoder_ls.generation import AdapterStatus
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.settings import Adapter, toml_file

CHECK_INTERVAL_S = 0.25

_FileState = tuple[int, int, int] | None


class AdapterVersionWatch:
    """One for each session. Looks at files at most once in ``CHECK_INTERVAL_S``. ``file`` is the session's settings
    file; None: the user's."""

    def __init__(self, settings: ClientSettings, file: Path | None = None) -> None:
        self._settings, self._file = settings, file or toml_file.settings_file()
        self._next_check_s = 0.0
        self._file_state = _state_of(self._file)
        self._listed = set(_read_trained(self._file) or ()) if self._file_state is not None else set[str]()
        self._attempted: dict[str, str] = {}  # name -> what its link pointed to

    def is_due(self, now_s: float) -> bool:
        """Whether the files should be looked at now."""
        if now_s < self._next_check_s:
            return False
        self._next_check_s = now_s + CHECK_INTERVAL_S
        return True

    def update_settings(self) -> bool:
        """Add the trained adapters that are new in the settings file, remove those that are gone. Whether any was."""
        if (state := _state_of(self._file)) == self._file_state:
            return False
        self._file_state = state
        listed = _read_trained(self._file) if state is not None else {}
        if listed is None:
            return False
        known = self._settings.current.adapters
        gone = {name for name in self._listed - listed.keys() if name in known and _is_followed(known[name].path)}
        for name in gone:
            self._settings.remove_adapter(name)
        self._listed = set(listed)
        new = {name: adapter for name, adapter in listed.items() if name not in self._settings.current.adapters}
        for name, adapter in new.items():
            self._settings.set_adapter(name, adapter)
        return bool(new or gone)

    def find_changes(self, resident: Iterable[AdapterStatus]) -> dict[str, Adapter | None]:
        """Resident adapters of which another version serves now, with their settings; None: no version does.

        A switch of the link is returned once, so that a version that cannot be loaded is not tried again and again.
        """
        configured = self._settings.current.resident_adapters()
        changes: dict[str, Adapter | None] = {}
        for status in resident:
            if not status.folder or not _is_followed(status.source):
                continue
            target = os.path.realpath(status.source) if os.path.islink(status.source) else ""
            if target == status.folder:
                self._attempted.pop(status.name, None)
            elif self._attempted.get(status.name) != target:
                self._attempted[status.name] = target
                changes[status.name] = configured.get(status.name) if target else None
        return changes

    def try_again(self, name: str) -> None:
        """Return the version of the adapter ``name`` from ``find_changes`` again: the engine could not try it."""
        self._attempted.pop(name, None)


def _is_followed(path: str) -> bool:
    """Whether it is the link that names the version that serves, of an adapter that was trained here."""
    link = Path(path)
    return link.name == CURRENT and link.is_relative_to(user_folders.trained_adapters_folder())


def _read_trained(file: Path) -> dict[str, Adapter] | None:
    """The trained adapters of the settings file; None if it is not valid now."""
    try:
        tables = toml_file.read_toml(file).get("adapters", {})
        return {name: Adapter.model_validate(table) for name, table in tables.items() if _is_followed(table["path"])}
    except (SettingsError, ValidationError, KeyError, TypeError, AttributeError):
        return None


def _state_of(file: Path) -> _FileState:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
