"""``initialize``: what the client can do and wants, and what we offer it.

Decides the position encoding, the settings of the session and the capabilities.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lsprotocol import types as t

from starcoder_ls import __version__
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.action_request import COMMANDS, kind_of
from starcoder_ls.session.client_info import ClientInfo, read
from starcoder_ls.session.session import Session
from starcoder_ls.settings import Settings

logger = logging.getLogger(__name__)


async def initialize(session: Session, params: object, _: RequestHandle) -> t.InitializeResult:
    """Starts the engine if this is the first client. Never fails because of an option."""
    if not isinstance(params, Mapping):
        raise ResponseError(t.ErrorCodes.InvalidParams, "The params of initialize must be an object.")
    session.introduce(read(params))
    logger.info("client: %s, positions in %s", session.client.name, session.client.encoding)
    session.apply(params.get("initializationOptions"), "the editor's initialization options")
    session.begin_context()
    if not session.supervisor.start(session.settings):
        session.show(t.MessageType.Warning, _other_model(session))
    return t.InitializeResult(
        capabilities=_capabilities(session.client, session.settings),
        server_info=t.ServerInfo(name=session.name, version=__version__),
    )


def _capabilities(client: ClientInfo, settings: Settings) -> t.ServerCapabilities:
    """A client with ghost text is not offered the menu as well: it would show each suggestion twice.

    Actions are announced even where nobody can do them yet: an adapter may be attached later.
    """
    kinds = {kind_of(name, action): None for name, action in settings.actions.items() if action.enabled}
    offered: dict[str, Any] = {
        "code_action_provider": t.CodeActionOptions(
            code_action_kinds=list(kinds), resolve_provider=client.has_action_resolve
        ),
        "execute_command_provider": t.ExecuteCommandOptions(commands=list(COMMANDS)),
    }
    if client.has_inline_completion:
        offered["inline_completion_provider"] = t.InlineCompletionOptions()
    else:
        offered["completion_provider"] = t.CompletionOptions(resolve_provider=False)
    return t.ServerCapabilities(
        position_encoding=client.encoding.value,
        text_document_sync=t.TextDocumentSyncOptions(
            open_close=True, change=t.TextDocumentSyncKind.Incremental, save=t.SaveOptions(include_text=False)
        ),
        workspace=t.WorkspaceOptions(
            workspace_folders=t.WorkspaceFoldersServerCapabilities(supported=True, change_notifications=True)
        ),
        **offered,
    )


def _other_model(session: Session) -> str:
    running = session.supervisor.model.name if session.supervisor.model else "another model"
    return (
        f"{running} is already running here and is kept; {session.settings.model.name} or its options were not loaded. "
        "Start a server of its own for another model."
    )
