"""``codeAction/resolve``: the edit of one action, generated when the user has chosen it.

If the document changes meanwhile the result is an error, since editors cannot handle null here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsprotocol import types as t

from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.rewrite import perform_action
from starcoder_ls.session.action_request import (
    content_modified,
    prepare_action,
    require_engine,
    resolve_target,
    workspace_edit,
)
from starcoder_ls.session.command_arguments import ActionArguments, parse_arguments
from starcoder_ls.session.session import Session


async def code_action_resolve(session: Session, raw: object, request: RequestHandle) -> dict[str, Any]:
    """The action with its edit. An action that runs a command is returned unchanged: editors resolve it as well.

    Raises ResponseError if ``raw`` is not a code action, or if the document has changed.
    """
    if not isinstance(raw, Mapping):
        raise ResponseError(t.ErrorCodes.InvalidParams, "The params of codeAction/resolve must be a code action.")
    if raw.get("data") is None:
        return dict(raw)
    arguments = parse_arguments(ActionArguments, raw["data"], "codeAction/resolve")
    request.superseded_error = content_modified()
    if not await session.latest.is_latest(t.CODE_ACTION_RESOLVE, arguments.uri, request):
        raise content_modified()
    engine = require_engine(session.supervisor)
    document, target = resolve_target(session.documents, arguments)
    prepared = prepare_action(session.settings, engine, arguments.action, target)
    async with session.progress.report(prepared.action.title, request):
        changes = await perform_action.compute_changes(engine, prepared)
    if not session.documents.is_unchanged(document, target.text):
        raise content_modified()
    edit = workspace_edit(session.client.info, document, changes, prepared.action, is_in_action=True)
    return {**raw, "edit": edit}
