"""What a server does with invalid settings: it runs without a model until the settings file is corrected.

An editor would show only that a server ended. So the server keeps running, its status says what is wrong and names the
file, and it loads the settings again when the file changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.errors import SettingsError
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.settings import Settings

logger = logging.getLogger(__name__)

CHECK_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class InvalidSettings:
    """``load`` reads the settings again and raises SettingsError while they are invalid; ``message`` is the first
    error's, ``file`` the settings file, which may be missing."""

    message: str
    file: Path
    load: Callable[[], Settings]


class SettingsRecovery:
    """Shared by the sessions of a server whose settings were invalid when it started."""

    def __init__(self, supervisor: EngineSupervisor, process_info: ProcessInfo, invalid: InvalidSettings) -> None:
        self._supervisor, self._process_info, self._invalid = supervisor, process_info, invalid
        self._settings: Settings | None = None
        self._waiting: list[Callable[[Settings], None]] = []
        self._seen = _state_of(invalid.file)
        process_info.invalid_settings_file = str(invalid.file)
        supervisor.reject(invalid.message)

    async def wait(
        self, use: Callable[[Settings], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Call ``use`` with the settings as soon as they are valid. The engine can be started then.

        All sessions that wait get them in the same step of the event loop, so that none is ready with its defaults.
        """
        if self._settings is not None:
            use(self._settings)
            return
        self._waiting.append(use)
        try:
            while self._settings is None:
                await sleep(CHECK_INTERVAL_S)
                self._check()
        finally:
            self._waiting.remove(use)

    def _check(self) -> None:
        """Load the settings again if the file has changed since the last time."""
        if self._settings is not None or (state := _state_of(self._invalid.file)) == self._seen:
            return
        self._seen = state
        try:
            self._settings = self._invalid.load()
        except SettingsError as error:
            self._supervisor.reject(str(error))
            return
        logger.info("the settings are valid now")
        self._process_info.invalid_settings_file = ""
        self._supervisor.accept()
        for use in self._waiting:
            use(self._settings)


def _state_of(file: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file is written or replaced; None if it is missing."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
