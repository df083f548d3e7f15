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
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.safe_markdown import sanitize_markdown
from starcoder_ls.session import action_request
from starcoder_ls.session.action_request import asked_target, moved_on, require_engine, workspace_edit
from starcoder_ls.session.command_arguments import (
    AcceptedArguments,
    ActionArguments,
    AttachArguments,
    DetachArguments,
    read,
)
from starcoder_ls.session.explanation_output import RunningText, show_in_file
from starcoder_ls.session.feedback import ACCEPTED
from starcoder_ls.session.progress import working
from starcoder_ls.session.session import Session


async def execute_command(session: Session, params: t.ExecuteCommandParams, call: RequestHandle) -> object:
    command = _COMMANDS.get(params.command)
    if command is None:
        known = ", ".join(_COMMANDS)
        raise ResponseError(
            t.ErrorCodes.InvalidParams, f"There is no command {params.command[:60]!r}. There are: {known}."
        )
    given = params.arguments or [{}]
    if len(given) != 1:
        raise ResponseError(
            t.ErrorCodes.InvalidParams, f"{params.command} takes one argument, an object; {len(given)} came."
        )
    return await command(session, given[0], call)


async def _explain(session: Session, given: object, call: RequestHandle) -> dict[str, Any]:
    """Text to read. One at a time for a client; a change of the document does not end it, for it is read meanwhile."""
    asked = read(ActionArguments, given, action_request.EXPLAIN)
    engine = require_engine(session)
    _, target = asked_target(session, asked)
    prepared = perform_action.prepare_action(session.settings, engine, asked.action, target)
    if prepared.action.becomes != "text":
        raise ActionUnavailable(f"{asked.action!r} changes code and shows none; run {action_request.ACT} instead.")
    session.supersede(action_request.EXPLAIN, "", call)
    running, text, is_complete = RunningText(session, asked.token), "", False
    sign = working(session, prepared.action.title, call) if asked.token is None else nullcontext()
    async with sign, aclosing(perform_action.stream_answer(engine, prepared.prompt)) as stream:
        async for answer in stream:
            if answer.finish_reason is not None or running.is_due:
                text = _markdown(answer)
                running.send(text)
            is_complete = answer.finish_reason is not None and not answer.note
    session.conclude(action_request.EXPLAIN, "", call)
    if asked.token is None:
        session.run_errand(show_in_file(session, text))
    return {"text": text, "isComplete": is_complete}


def _markdown(answer: perform_action.Answer) -> str:
    text = sanitize_markdown(answer.text)
    return f"> {sanitize_markdown(answer.note)}\n\n{text}" if answer.note else text


async def _act(session: Session, given: object, call: RequestHandle) -> dict[str, Any]:
    """Make an edit and have the client apply it: the way for clients that cannot resolve actions."""
    asked = read(ActionArguments, given, action_request.ACT)
    if not session.client.has_apply_edit:
        raise ActionUnavailable("This editor did not say that it can apply edits (workspace.applyEdit).")
    call.if_withdrawn = moved_on()
    if not await session.is_latest(action_request.ACT, asked.uri, call):
        raise moved_on()
    engine = require_engine(session)
    document, target = asked_target(session, asked)
    prepared = perform_action.prepare_action(session.settings, engine, asked.action, target)
    if prepared.action.becomes == "text":
        raise ActionUnavailable(f"{asked.action!r} changes nothing; run {action_request.EXPLAIN} instead.")
    async with working(session, prepared.action.title, call):
        changes = await perform_action.compute_changes(engine, prepared)
    if not session.documents.is_still(document, target.text):
        raise moved_on()
    edit = workspace_edit(session, document, changes, prepared.action, is_in_action=False)
    session.conclude(action_request.ACT, asked.uri, call)  # applied, it comes back as a change of the text
    params = t.ApplyWorkspaceEditParams(edit=edit, label=f"StarCoder: {prepared.action.title}")
    # The user may take long to confirm, and a cancel now must not lose the client's reply.
    result = await asyncio.shield(session.run_errand(session.workspace_apply_edit_async(params)))
    return {"applied": result.applied, "failureReason": result.failure_reason}


async def _attach(session: Session, given: object, _: RequestHandle) -> dict[str, Any]:
    """Load an adapter and let this client's settings route to it."""
    asked = read(AttachArguments, given, action_request.ATTACH)
    engine = require_engine(session)
    attached = await asyncio.shield(session.run_errand(engine.attach(asked.name, asked.adapter)))
    adapters = {**session.settings.adapters, asked.name: asked.adapter}
    session.settings = session.settings.model_copy(update={"adapters": adapters})
    return {"name": attached.name, "method": attached.method, "memoryBytes": attached.memory_bytes}


async def _detach(session: Session, given: object, _: RequestHandle) -> dict[str, Any]:
    asked = read(DetachArguments, given, action_request.DETACH)
    engine = require_engine(session)
    await asyncio.shield(session.run_errand(engine.detach(asked.name)))
    adapters = {name: adapter for name, adapter in session.settings.adapters.items() if name != asked.name}
    session.settings = session.settings.model_copy(update={"adapters": adapters})
    return {"name": asked.name}


async def _list(session: Session, _given: object, _: RequestHandle) -> list[dict[str, Any]]:
    """What is resident, and what this client's settings use it for: nothing where they do not name it."""
    known = session.settings.resident_adapters()
    listed = []
    for adapter in session.supervisor.status().adapters:
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


async def _accepted(session: Session, given: object, _: RequestHandle) -> None:
    """An item's own command, run by the client once it is inserted; one that we forgot is nobody's mistake."""
    session.feedback.accepted(read(AcceptedArguments, given, ACCEPTED).id)


_COMMANDS: dict[str, Callable[[Session, object, RequestHandle], Awaitable[object]]] = {
    action_request.EXPLAIN: _explain,
    action_request.ACT: _act,
    action_request.ATTACH: _attach,
    action_request.DETACH: _detach,
    action_request.LIST: _list,
    ACCEPTED: _accepted,
}
