"""Where the words of a model are shown: at the client's token, else in a private file that the editor opens.

Decides how often a running text is sent and how long its file is kept. Refuses to know where the words come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

from starcoder_ls.lsp.request_handle import ResponseError

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

logger = logging.getLogger(__name__)

_INTERVAL_S = 0.1
_KEPT_S = 24 * 3600
_OPEN_TIMEOUT_S = 10.0
_PREFIX, _SUFFIX = "starcoder-", ".md"


class RunningText:
    """A text on its way to a token, whole each time: markdown that grows may change its shape."""

    def __init__(self, session: Session, token: str | int | None) -> None:
        self._session, self._token = session, token
        self._sent, self._sent_s = "", 0.0

    @property
    def is_due(self) -> bool:
        """Whether anyone listens, and the last one is long enough ago."""
        return self._token is not None and time.monotonic() - self._sent_s >= _INTERVAL_S

    def send(self, text: str) -> None:
        if self._token is not None and text != self._sent:
            self._sent, self._sent_s = text, time.monotonic()
            self._session.progress(t.ProgressParams(self._token, {"text": text}))


async def show_in_file(session: Session, text: str) -> None:
    """Write ``text`` where only this user can read it, and have the editor open it. An errand: never cancelled.

    Whatever goes wrong is a message; the text itself is the result of the command anyway.
    """
    try:
        file = await asyncio.to_thread(written, text)
    except OSError as error:
        session.show_once(f"The text cannot be written to a file ({error.strerror}).")
        return
    is_shown = False
    if session.client.has_show_document:
        params = t.ShowDocumentParams(uri=file.as_uri(), external=False, take_focus=False)
        with contextlib.suppress(TimeoutError, JsonRpcException, ResponseError):
            result = await asyncio.wait_for(session.window_show_document_async(params), _OPEN_TIMEOUT_S)
            is_shown = result.success
    if not is_shown:
        session.show(t.MessageType.Info, f"The answer is in {file}.")


def folder() -> Path:
    return Path(platformdirs.user_cache_dir("starcoder-ls", appauthor=False)) / "answers"


def written(text: str) -> Path:
    """A new file of mode 0600 in a folder of mode 0700; those of yesterday go. Raises OSError."""
    place = folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place.is_symlink() or (hasattr(os, "getuid") and place.stat().st_uid != os.getuid()):
        raise PermissionError(1, f"{place} belongs to someone else")
    place.chmod(0o700)
    oldest_kept = time.time() - _KEPT_S
    for old in place.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if old.lstat().st_mtime < oldest_kept:
                old.unlink()
    descriptor, name = tempfile.mkstemp(_SUFFIX, _PREFIX, place)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return Path(name)
