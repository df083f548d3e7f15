"""``codeAction/resolve``: the edit of one action, made when the user has chosen it.

Decides what an answer is when the text has moved on: an error, since editors cannot take null here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsprotocol import types as t

from starcoder_ls.rewrite import act
from starcoder_ls.session.arguments import ActionArguments, read
from starcoder_ls.session.asked_action import asked_target, moved_on, require_engine, workspace_edit
from starcoder_ls.session.call import Call, Refusal
from starcoder_ls.session.session import Session
from starcoder_ls.session.working import working


async def code_action_resolve(session: Session, raw: object, call: Call) -> dict[str, Any]:
    """The action as it came, with its edit. One that runs a command has none: editors ask nevertheless."""
    if not isinstance(raw, Mapping):
        raise Refusal(t.ErrorCodes.InvalidParams, "The params of codeAction/resolve must be a code action.")
    if raw.get("data") is None:
        return dict(raw)
    asked = read(ActionArguments, raw["data"], "codeAction/resolve")
    call.if_withdrawn = moved_on()
    if not await session.is_latest(t.CODE_ACTION_RESOLVE, asked.uri, call):
        raise moved_on()
    engine = require_engine(session)
    document, target = asked_target(session, asked)
    prepared = act.prepared(session.settings, engine, asked.action, target)
    async with working(session, prepared.action.title, call):
        changes = await act.changes(engine, prepared)
    if not session.documents.is_still(document, target.text):
        raise moved_on()
    edit = workspace_edit(session, document, changes, prepared.action, is_in_action=True)
    return {**raw, "edit": edit}
