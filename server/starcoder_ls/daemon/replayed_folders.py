"""The changes of a window's workspace folders since ``initialize``, for a new daemon: one notification of their sum."""

from __future__ import annotations

from typing import Any

from starcoder_ls.daemon import message
from starcoder_ls.daemon.message import Message

METHOD = "workspace/didChangeWorkspaceFolders"

_MAX_FOLDERS = 1000


class ReplayedFolders:
    """The last change of each folder, by URI."""

    def __init__(self) -> None:
        self._changes: dict[str, tuple[str, dict[str, Any]]] = {}

    def record(self, sent: Message) -> None:
        """Invalid parts are left out: the daemon answers those."""
        event = sent.params.get("event")
        for kind in ("removed", "added"):  # in this order, a folder that is in both stays
            folders = event.get(kind) if isinstance(event, dict) else None
            for folder in folders if isinstance(folders, list) else []:
                if isinstance(folder, dict) and isinstance(uri := folder.get("uri"), str):
                    self._changes.pop(uri, None)
                    if len(self._changes) < _MAX_FOLDERS:
                        self._changes[uri] = kind, folder

    def replay(self) -> list[bytes]:
        """The notification; nothing if no folder changed."""
        event: dict[str, list[dict[str, Any]]] = {"added": [], "removed": []}
        for kind, folder in self._changes.values():
            event[kind].append(folder)
        return [message.encode(method=METHOD, params={"event": event})] if self._changes else []
