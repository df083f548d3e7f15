"""Shows generated text: as partial results at the client's token, or in a private file that the editor opens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lsprotocol import types as t

from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.user_folders import cache_folder

logger = logging.getLogger(__name__)

_SEND_INTERVAL_S = 0.1
_FILE_LIFETIME_S = 24 * 3600
_SHOW_TIMEOUT_S = 10.0
_PREFIX, _SUFFIX = "starcoder-", ".md"


class TextStream:
    """Sends a growing text to ``token`` by ``$/progress``; without a token it sends nothing.

    Each message has the whole text: more markdown can change how the earlier part is rendered.
    """

    def __init__(
        self, client: LanguageClient, token: str | int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._token, self._clock = client, token, clock
        self._sent_text, self._sent_s = "", 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is a token, and the last message was sent at least 0.1 s ago."""
        return self._token is not None and self._clock() - self._sent_s >= _SEND_INTERVAL_S

    def send(self, text: str) -> None:
        """Send ``text`` unless it is the last one sent."""
        if self._token is not None and text != self._sent_text:
            self._sent_text, self._sent_s = text, self._clock()
            self._client.progress(t.ProgressParams(self._token, {"text": text}))


async def show_in_file(client: LanguageClient, text: str) -> None:
    """Write ``text`` to a private file and let the editor open it.

    Run it in the background. Failures are messages to the user: the text is also the result of the command.
    """
    try:
        file = await asyncio.to_thread(write_private_file, text)
    except OSError as error:
        client.warn_once(f"The text cannot be written to a file ({error.strerror}).")
        return
    is_shown = False
    if client.info.has_show_document:
        params = t.ShowDocumentParams(uri=file.as_uri(), external=False, take_focus=False)
        with contextlib.suppress(TimeoutError, ResponseError):
            result = await asyncio.wait_for(client.window_show_document_async(params), _SHOW_TIMEOUT_S)
            is_shown = result.success
    if not is_shown:
        client.show_message(t.MessageType.Info, f"The answer is in {file}.")


def answers_folder() -> Path:
    return cache_folder("answers")


def write_private_file(text: str) -> Path:
    """Write ``text`` to a new file of mode 0600 in a folder of mode 0700, and remove files older than a day.

    Raises OSError, also if the folder belongs to another user.
    """
    folder = answers_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
        raise PermissionError(1, f"{folder} belongs to another user")
    folder.chmod(0o700)
    oldest_s = time.time() - _FILE_LIFETIME_S
    for old in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if old.lstat().st_mtime < oldest_s:
                old.unlink()
    descriptor, name = tempfile.mkstemp(_SUFFIX, _PREFIX, folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return Path(name)
