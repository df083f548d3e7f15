"""``initialize``: reads the client's capabilities and options, starts the engine, returns the server's capabilities."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lsprotocol import types as t

from starcoder_ls import __version__
from starcoder_ls.lsp.client_info import ClientInfo, read_client_info
from starcoder_ls.lsp.documents.document import path_of_uri
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.action_request import COMMANDS, action_kind
from starcoder_ls.session.session import Session
from starcoder_ls.settings import Settings

logger = logging.getLogger(__name__)


async def initialize(session: Session, params: object, _: RequestHandle) -> t.InitializeResult:
    """Starts the engine for the first client. Invalid options are reported to the user and never fail the request.

    Raises ResponseError if ``params`` is no object.
    """
    if not isinstance(params, Mapping):
        raise ResponseError(t.ErrorCodes.InvalidParams, "The params of initialize must be an object.")
    client = read_client_info(params)
    session.set_client_info(client)
    logger.info("client: %s, positions in %s", client.name, client.encoding)
    session.client_settings.apply(params.get("initializationOptions"), "the editor's initialization options")
    session.context.set_folders([Path(path) for uri in client.folders if (path := path_of_uri(uri))])
    if not session.supervisor.start(session.settings):
        session.client.show_message(t.MessageType.Warning, _other_model_warning(session))
    return t.InitializeResult(
        capabilities=_capabilities(client, session.settings),
        server_info=t.ServerInfo(name=session.client.name, version=__version__),
    )


def _capabilities(client: ClientInfo, settings: Settings) -> t.ServerCapabilities:
    """A client with inline completion does not get the completion menu too: it would show each suggestion twice.

    Code actions are declared even without an adapter for them: one may be attached later.
    """
    kinds = {action_kind(name, action): None for name, action in settings.actions.items() if action.enabled}
    notebooks = t.NotebookDocumentFilterWithNotebook(notebook="jupyter-notebook")
    providers: dict[str, Any] = {
        "code_action_provider": t.CodeActionOptions(
            code_action_kinds=list(kinds), resolve_provider=client.has_action_resolve
        ),
        "execute_command_provider": t.ExecuteCommandOptions(commands=list(COMMANDS)),
    }
    if client.has_inline_completion:
        providers["inline_completion_provider"] = t.InlineCompletionOptions()
    else:
        providers["completion_provider"] = t.CompletionOptions(resolve_provider=False)
    return t.ServerCapabilities(
        position_encoding=client.encoding.value,
        text_document_sync=t.TextDocumentSyncOptions(
            open_close=True, change=t.TextDocumentSyncKind.Incremental, save=t.SaveOptions(include_text=False)
        ),
        notebook_document_sync=t.NotebookDocumentSyncOptions(notebook_selector=[notebooks], save=True),
        workspace=t.WorkspaceOptions(
            workspace_folders=t.WorkspaceFoldersServerCapabilities(supported=True, change_notifications=True)
        ),
        experimental={"copilotInlineEdit": True},
        **providers,
    )


def _other_model_warning(session: Session) -> str:
    running = session.supervisor.model.name if session.supervisor.model else "another model"
    return (
        f"This server already runs {running}; {session.settings.model.name} or its options were not loaded. "
        "Start a separate server for another model."
    )
