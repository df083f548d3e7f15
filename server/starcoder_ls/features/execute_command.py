"""``workspace/executeCommand``: explain, act, the adapters of the running model, and what was accepted.

Decides what each command takes, tells and answers. Refuses to know prompts, answers and weights.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, nullcontext
from typing import Any

from lsprotocol import types as t

from starcoder_ls.errors import ActionUnavailable
from starcoder_ls.rewrite import act
from starcoder_ls.rewrite.markdown import harmless
from starcoder_ls.session import asked_action
from starcoder_ls.session.arguments import AcceptedArguments, ActionArguments, AttachArguments, DetachArguments, read
from starcoder_ls.session.asked_action import asked_target, moved_on, require_engine, workspace_edit
from starcoder_ls.session.call import Call, Refusal
from starcoder_ls.session.explanation import RunningText, show_in_file
from starcoder_ls.session.feedback import ACCEPTED
from starcoder_ls.session.session import Session
from starcoder_ls.session.working import working


async def execute_command(session: Session, params: t.ExecuteCommandParams, call: Call) -> object:
    command = _COMMANDS.get(params.command)
    if command is None:
        known = ", ".join(_COMMANDS)
        raise Refusal(t.ErrorCodes.InvalidParams, f"There is no command {params.command[:60]!r}. There are: {known}.")
    given = params.arguments or [{}]
    if len(given) != 1:
        raise Refusal(t.ErrorCodes.InvalidParams, f"{params.command} takes one argument, an object; {len(given)} came.")
    return await command(session, given[0], call)


async def _explain(session: Session, given: object, call: Call) -> dict[str, Any]:
    """Text to read. One at a time for a client; a change of the document does not end it, for it is read meanwhile."""
    asked = read(ActionArguments, given, asked_action.EXPLAIN)
    engine = require_engine(session)
    _, target = asked_target(session, asked)
    prepared = act.prepared(session.settings, engine, asked.action, target)
    if prepared.action.becomes != "text":
        raise ActionUnavailable(f"{asked.action!r} changes code and shows none; run {asked_action.ACT} instead.")
    session.supersede(asked_action.EXPLAIN, "", call)
    running, text, is_complete = RunningText(session, asked.token), "", False
    sign = working(session, prepared.action.title, call) if asked.token is None else nullcontext()
    async with sign, aclosing(act.spoken(engine, prepared.asked)) as stream:
        async for answer in stream:
            if answer.finish is not None or running.is_due:
                text = _markdown(answer)
                running.send(text)
            is_complete = answer.finish is not None and not answer.note
    session.conclude(asked_action.EXPLAIN, "", call)
    if asked.token is None:
        session.run_errand(show_in_file(session, text))
    return {"text": text, "isComplete": is_complete}


def _markdown(answer: act.Answer) -> str:
    text = harmless(answer.said)
    return f"> {harmless(answer.note)}\n\n{text}" if answer.note else text


async def _act(session: Session, given: object, call: Call) -> dict[str, Any]:
    """Make an edit and have the client apply it: the way for clients that cannot resolve actions."""
    asked = read(ActionArguments, given, asked_action.ACT)
    if not session.client.has_apply_edit:
        raise ActionUnavailable("This editor did not say that it can apply edits (workspace.applyEdit).")
    call.if_withdrawn = moved_on()
    if not await session.is_latest(asked_action.ACT, asked.uri, call):
        raise moved_on()
    engine = require_engine(session)
    document, target = asked_target(session, asked)
    prepared = act.prepared(session.settings, engine, asked.action, target)
    if prepared.action.becomes == "text":
        raise ActionUnavailable(f"{asked.action!r} changes nothing; run {asked_action.EXPLAIN} instead.")
    async with working(session, prepared.action.title, call):
        changes = await act.changes(engine, prepared)
    if not session.documents.is_still(document, target.text):
        raise moved_on()
    edit = workspace_edit(session, document, changes, prepared.action, is_in_action=False)
    session.conclude(asked_action.ACT, asked.uri, call)  # applied, it comes back as a change of the text
    params = t.ApplyWorkspaceEditParams(edit=edit, label=f"StarCoder: {prepared.action.title}")
    # The user may take long to confirm, and a cancel now must not lose the client's reply.
    result = await asyncio.shield(session.run_errand(session.workspace_apply_edit_async(params)))
    return {"applied": result.applied, "failureReason": result.failure_reason}


async def _attach(session: Session, given: object, _: Call) -> dict[str, Any]:
    """Load an adapter and let this client's settings route to it."""
    asked = read(AttachArguments, given, asked_action.ATTACH)
    engine = require_engine(session)
    attached = await asyncio.shield(session.run_errand(engine.attach(asked.name, asked.adapter)))
    adapters = {**session.settings.adapters, asked.name: asked.adapter}
    session.settings = session.settings.model_copy(update={"adapters": adapters})
    return {"name": attached.name, "method": attached.method, "memoryBytes": attached.memory_bytes}


async def _detach(session: Session, given: object, _: Call) -> dict[str, Any]:
    asked = read(DetachArguments, given, asked_action.DETACH)
    engine = require_engine(session)
    await asyncio.shield(session.run_errand(engine.detach(asked.name)))
    adapters = {name: adapter for name, adapter in session.settings.adapters.items() if name != asked.name}
    session.settings = session.settings.model_copy(update={"adapters": adapters})
    return {"name": asked.name}


async def _list(session: Session, _given: object, _: Call) -> list[dict[str, Any]]:
    """What is resident, and what this client's settings use it for: nothing where they do not name it."""
    known = session.settings.resident_adapters()
    listed = []
    for adapter in session.engine.status().adapters:
        used = known.get(adapter.name)
        listed.append(
            {
                "name": adapter.name,
                "method": adapter.method,
                "source": adapter.source,
                "memoryBytes": adapter.memory_bytes,
                "tasks": list(used.tasks) if used else [],
                "languages": list(used.languages) if used else [],
                "files": list(used.files) if used else [],
            }
        )
    return listed


async def _accepted(session: Session, given: object, _: Call) -> None:
    """An item's own command, run by the client once it is inserted; one that we forgot is nobody's mistake."""
    session.feedback.accepted(read(AcceptedArguments, given, ACCEPTED).id)


_COMMANDS: dict[str, Callable[[Session, object, Call], Awaitable[object]]] = {
    asked_action.EXPLAIN: _explain,
    asked_action.ACT: _act,
    asked_action.ATTACH: _attach,
    asked_action.DETACH: _detach,
    asked_action.LIST: _list,
    ACCEPTED: _accepted,
}
