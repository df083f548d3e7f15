"""Asks a client that can to tell us of changed files. Who watches is the editor: there is no second watcher."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

from starcoder_ls.lsp.request_handle import ResponseError

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0


def watch(session: Session) -> None:
    """In a task of its own: no notification waits for the client."""
    if session.client.has_watched_files and session.context.folders:
        session.run_errand(_register(session))


async def _register(session: Session) -> None:
    options = t.DidChangeWatchedFilesRegistrationOptions([t.FileSystemWatcher("**/*")])
    wanted = t.Registration("starcoder-ls/files", t.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    try:
        asked = session.client_register_capability_async(t.RegistrationParams([wanted]))
        await asyncio.wait_for(asked, _TIMEOUT_S)
    except (TimeoutError, JsonRpcException, ResponseError):
        logger.info("the client watches no files for us; saved documents are followed all the same")
