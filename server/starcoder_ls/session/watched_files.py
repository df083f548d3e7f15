"""Registers for the client's file watching. The server has no file watcher of its own."""

from __future__ import annotations

import asyncio
import logging

from lsprotocol import types as t

from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.request_handle import ResponseError

logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0


async def register_file_watching(client: LanguageClient) -> None:
    """Ask the client to report changed files. Run it in the background: no notification waits for the client."""
    options = t.DidChangeWatchedFilesRegistrationOptions([t.FileSystemWatcher("**/*")])
    registration = t.Registration("starcoder-ls/files", t.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    try:
        request = client.client_register_capability_async(t.RegistrationParams([registration]))
        await asyncio.wait_for(request, _TIMEOUT_S)
    except (TimeoutError, ResponseError):
        logger.info("the client does not report changed files; only saved documents are noticed")
