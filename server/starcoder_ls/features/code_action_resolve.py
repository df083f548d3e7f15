"""``codeAction/resolve``: the edit of one action, made when the user has chosen it.

Decides what an answer is when the text has moved on: an error, since editors cannot take null here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsprotocol import types as t

from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.rewrite import perform_action
from starcoder_ls.session.action_request import asked_target, moved_on, require_engine, workspace_edit
from starcoder_ls.session.command_arguments import ActionArguments, read
from starcoder_ls.session.progress import working
from starcoder_ls.session.session import Session


async def code_action_resolve(session: Session, raw: object, call: RequestHandle) -> dict[str, Any]:
    """The action as it came, with its edit. One that runs a command has none: editors ask nevertheless."""
    if not isinstance(raw, Mapping):
        raise ResponseError(t.ErrorCodes.InvalidParams, "The params of codeAction/resolve must be a code action.")
    if raw.get("data") is None:
        return dict(raw)
    asked = read(ActionArguments, raw["data"], "codeAction/resolve")
    call.if_withdrawn = moved_on()
    if not await session.is_latest(t.CODE_ACTION_RESOLVE, asked.uri, call):
        raise moved_on()
    engine = require_engine(session)
    document, target = asked_target(session, asked)
    prepared = perform_action.prepare_action(session.settings, engine, asked.action, target)
    async with working(session, prepared.action.title, call):
        changes = await perform_action.compute_changes(engine, prepared)
    if not session.documents.is_still(document, target.text):
        raise moved_on()
    edit = workspace_edit(session, document, changes, prepared.action, is_in_action=True)
    return {**raw, "edit": edit}
