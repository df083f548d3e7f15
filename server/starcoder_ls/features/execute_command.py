"""``workspace/executeCommand``: explain, act, adapters of the running model, and accepted suggestions."""

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
from starcoder_ls.session.action_request import (
    content_modified,
    prepare_action,
    require_engine,
    resolve_target,
    workspace_edit,
)
from starcoder_ls.session.command_arguments import (
    AcceptedArguments,
    ActionArguments,
    AttachArguments,
    DetachArguments,
    parse_arguments,
)
from starcoder_ls.session.explanation_output import TextStream, show_in_file
from starcoder_ls.session.feedback import ACCEPTED
from starcoder_ls.session.next_edits import EDIT_ACCEPTED, EDIT_DISMISSED
from starcoder_ls.session.session import Session

_MAX_COMMAND_CHARS = 60


async def execute_command(session: Session, params: t.ExecuteCommandParams, request: RequestHandle) -> object:
    """Raises ResponseError for an unknown command or invalid arguments, and what the command raises."""
    command = _COMMANDS.get(params.command)
    if command is None:
        name, known = params.command[:_MAX_COMMAND_CHARS], ", ".join(_COMMANDS)
        raise ResponseError(t.ErrorCodes.InvalidParams, f"There is no command {name!r}. The commands are: {known}.")
    arguments = params.arguments or [{}]
    if len(arguments) != 1:
        raise ResponseError(
            t.ErrorCodes.InvalidParams, f"{params.command} takes one argument, an object, not {len(arguments)}."
        )
    return await command(session, arguments[0], request)


async def _explain(session: Session, raw: object, request: RequestHandle) -> dict[str, Any]:
    """Generate text to read, one at a time per client. Changes of the document do not cancel it."""
    arguments = parse_arguments(ActionArguments, raw, action_request.EXPLAIN)
    engine = require_engine(session.supervisor)
    _, target = resolve_target(session.documents, arguments)
    prepared = prepare_action(session.settings, engine, arguments.action, target)
    if prepared.action.becomes != "text":
        raise ActionUnavailable(f"{arguments.action!r} changes code; run {action_request.ACT} instead.")
    session.latest.supersede(action_request.EXPLAIN, "", request)
    output, text, is_complete = TextStream(session.client, arguments.token), "", False
    has_token = arguments.token is not None
    progress = nullcontext() if has_token else session.progress.report(prepared.action.title, request)
    async with progress, aclosing(perform_action.stream_answer(engine, prepared.prompt)) as answers:
        async for answer in answers:
            if answer.finish_reason is not None or output.is_due:
                text = _markdown(answer)
                output.send(text)
            is_complete = answer.finish_reason is not None and not answer.note
    session.latest.conclude(action_request.EXPLAIN, "", request)
    if not has_token:
        session.tasks.start(show_in_file(session.client, text))
    return {"text": text, "isComplete": is_complete}


def _markdown(answer: perform_action.Answer) -> str:
    text = sanitize_markdown(answer.text)
    return f"> {sanitize_markdown(answer.note)}\n\n{text}" if answer.note else text


async def _act(session: Session, raw: object, request: RequestHandle) -> dict[str, Any]:
    """Generate an edit and ask the client to apply it: for clients that cannot resolve code actions."""
    arguments = parse_arguments(ActionArguments, raw, action_request.ACT)
    if not session.client.info.has_apply_edit:
        raise ActionUnavailable("This editor did not declare that it can apply edits (workspace.applyEdit).")
    request.superseded_error = content_modified()
    if not await session.latest.is_latest(action_request.ACT, arguments.uri, request):
        raise content_modified()
    engine = require_engine(session.supervisor)
    document, target = resolve_target(session.documents, arguments)
    prepared = prepare_action(session.settings, engine, arguments.action, target)
    if prepared.action.becomes == "text":
        raise ActionUnavailable(f"{arguments.action!r} changes nothing; run {action_request.EXPLAIN} instead.")
    async with session.progress.report(prepared.action.title, request):
        changes = await perform_action.compute_changes(engine, prepared)
    if not session.documents.is_unchanged(document, target.text):
        raise content_modified()
    edit = workspace_edit(session.client.info, document, changes, prepared.action, is_in_action=False)
    session.latest.conclude(action_request.ACT, arguments.uri, request)  # applying it changes the document
    params = t.ApplyWorkspaceEditParams(edit=edit, label=f"StarCoder: {prepared.action.title}")
    # The user may take long to confirm; cancelling now must not lose the client's response.
    applying = session.tasks.start(session.client.workspace_apply_edit_async(params))
    result = await asyncio.shield(applying)
    return {"applied": result.applied, "failureReason": result.failure_reason}


async def _attach(session: Session, raw: object, _: RequestHandle) -> dict[str, Any]:
    """Load an adapter and add it to this client's settings."""
    arguments = parse_arguments(AttachArguments, raw, action_request.ATTACH)
    engine = require_engine(session.supervisor)
    attached = await asyncio.shield(session.tasks.start(engine.attach(arguments.name, arguments.adapter)))
    session.client_settings.set_adapter(arguments.name, arguments.adapter)
    return {"name": attached.name, "method": attached.method, "memoryBytes": attached.memory_bytes}


async def _detach(session: Session, raw: object, _: RequestHandle) -> dict[str, Any]:
    arguments = parse_arguments(DetachArguments, raw, action_request.DETACH)
    engine = require_engine(session.supervisor)
    await asyncio.shield(session.tasks.start(engine.detach(arguments.name)))
    session.client_settings.remove_adapter(arguments.name)
    return {"name": arguments.name}


async def _list(session: Session, _raw: object, _: RequestHandle) -> list[dict[str, Any]]:
    """The resident adapters and what this client's settings use them for; empty lists if they do not name them."""
    configured = session.settings.resident_adapters()
    items = []
    for adapter in session.supervisor.status().adapters:
        settings = configured.get(adapter.name)
        items.append(
            {
                "name": adapter.name,
                "method": adapter.method,
                "source": adapter.source,
                "memoryBytes": adapter.memory_bytes,
                "tasks": list(settings.tasks) if settings else [],
                "languages": list(settings.languages) if settings else [],
                "files": list(settings.files) if settings else [],
            }
        )
    return items


async def _accepted(session: Session, raw: object, _: RequestHandle) -> None:
    """The command of an item, which the client runs after inserting it. An unknown id is ignored."""
    session.feedback.on_accepted(parse_arguments(AcceptedArguments, raw, ACCEPTED).id)


async def _edit_accepted(session: Session, raw: object, _: RequestHandle) -> None:
    """The command of a next edit, which the client runs after applying it."""
    session.next_edits.on_accepted(parse_arguments(AcceptedArguments, raw, EDIT_ACCEPTED).id)


async def _edit_dismissed(session: Session, raw: object, _: RequestHandle) -> None:
    """The user dismissed a next edit; the argument is that of its command."""
    session.next_edits.on_dismissed(parse_arguments(AcceptedArguments, raw, EDIT_DISMISSED).id)


_COMMANDS: dict[str, Callable[[Session, object, RequestHandle], Awaitable[object]]] = {
    action_request.EXPLAIN: _explain,
    action_request.ACT: _act,
    action_request.ATTACH: _attach,
    action_request.DETACH: _detach,
    action_request.LIST: _list,
    ACCEPTED: _accepted,
    EDIT_ACCEPTED: _edit_accepted,
    EDIT_DISMISSED: _edit_dismissed,
}
