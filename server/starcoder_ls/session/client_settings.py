"""The settings of one client: those of the process, overlaid with the options that its editor sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starcoder_ls import settings
from starcoder_ls.errors import SettingsError
from starcoder_ls.settings import Adapter, Settings
from starcoder_ls.settings.errors import describe_unknown
from starcoder_ls.settings.merge import merge, merge_settings, split_unknown

_WRAPPERS = ("starcoder", "starcoder_ls", "starcoder-ls")
_OTHER_OPTIONS = ("trace", "token")  # of VS Code's client library and of the TCP transport


class ClientSettings:
    """``current`` is replaced as a whole and never modified. ``warn`` shows a message to the user."""

    def __init__(self, initial: Settings, warn: Callable[[str], None]) -> None:
        self.current = initial
        self._applied: Mapping[str, Any] = {}
        self._warn = warn

    def apply(self, options: object, source: str, has_other_sections: bool = False) -> None:
        """Overlay ``options``, the tree of the settings file, alone or inside ``starcoder``.

        Invalid options change nothing, and the user is warned. With ``has_other_sections`` unknown keys are sections of
        other servers and are ignored. Raises nothing.
        """
        tree = unwrap(options)
        if tree is None:
            return
        known, unknown = split_unknown(Settings, tree)
        unknown = [name for name in unknown if name not in _OTHER_OPTIONS]
        if unknown and not has_other_sections:
            self._warn(f"{describe_unknown(unknown)} The other settings are used.")
        try:
            self.current = settings.validate(merge_settings(self.current.model_dump(), known), source)
        except SettingsError as error:
            self._warn(f"{error} These options are ignored.")
            return
        self._applied = merge(self._applied, known)

    def replace_initial(self, initial: Settings) -> None:
        """Use ``initial`` in place of the settings of the process, overlaid with what ``apply`` has accepted so far."""
        applied, self.current, self._applied = self._applied, initial, {}
        self.apply(applied, "the editor")

    def set_adapter(self, name: str, adapter: Adapter) -> None:
        """Add ``adapter`` to the settings, or replace the one of this name."""
        self._set_adapters({**self.current.adapters, name: adapter})

    def remove_adapter(self, name: str) -> None:
        self._set_adapters({key: adapter for key, adapter in self.current.adapters.items() if key != name})

    def _set_adapters(self, adapters: Mapping[str, Adapter]) -> None:
        self.current = self.current.model_copy(update={"adapters": dict(adapters)})


def unwrap(options: object) -> Mapping[str, Any] | None:
    """The settings tree in ``options``, or None if ``options`` is no object."""
    if not isinstance(options, Mapping):
        return None
    for name in _WRAPPERS:
        if isinstance(options.get(name), Mapping):
            inner: Mapping[str, Any] = options[name]
            return inner
    return options
