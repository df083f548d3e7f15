"""Registers for the client's file watching. The server has no file watcher of its own.

Decides when: as soon as the client, which must support it, has a workspace folder.
"""

from __future__ import annotations

import asyncio
import logging

from lsprotocol import types as t

from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.session.background_tasks import BackgroundTasks
from starcoder_ls.session.workspace_context import WorkspaceContext

logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0


class FileWatching:
    """The registration of one client. It stays when the client has no folder any more."""

    def __init__(self, client: LanguageClient, tasks: BackgroundTasks, context: WorkspaceContext) -> None:
        self._client, self._tasks, self._context = client, tasks, context
        self._is_requested = False

    def on_folders_changed(self) -> None:
        """Register for changed files if it is time. To be called after ``initialized``."""
        if self._client.info.has_file_watching and self._context.folders and not self._is_requested:
            self._is_requested = True
            self._tasks.start(_register(self._client))


async def _register(client: LanguageClient) -> None:
    """Ask the client to report changed files. Run it in the background: no notification waits for the client."""
    options = t.DidChangeWatchedFilesRegistrationOptions([t.FileSystemWatcher("**/*")])
    registration = t.Registration("starcoder-ls/files", t.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    try:
        request = client.client_register_capability_async(t.RegistrationParams([registration]))
        await asyncio.wait_for(request, _TIMEOUT_S)
    except (TimeoutError, ResponseError):
        logger.info("the client does not report changed files; only saved documents are noticed")
