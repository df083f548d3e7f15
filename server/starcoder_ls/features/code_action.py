"""``textDocument/codeAction``: the actions for the selected code, or for the function around the cursor.

Never runs the model: editors send this request with every move of the cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lsprotocol import types as t

from starcoder_ls.actions import Action
from starcoder_ls.errors import DocumentOutOfSync
from starcoder_ls.lsp.client_info import ClientInfo
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target, extract_comment_instruction, find_target
from starcoder_ls.session.action_request import ACT, EXPLAIN, INSTRUCT, action_kind, lsp_range
from starcoder_ls.session.session import Session

_MAX_TITLE_CHARS = 60


async def code_action(
    session: Session, params: t.CodeActionParams, _: RequestHandle
) -> list[t.CodeAction | t.Command] | None:
    """The actions that a resident adapter, or an instruction-tuned base model, can do; null if there are none."""
    engine = session.supervisor.ready_engine()
    if engine is None:
        return None
    document = session.documents.for_model(params.text_document.uri)
    context = params.context
    is_invoked = context.trigger_kind is not t.CodeActionTriggerKind.Automatic
    has_selection = params.range.start != params.range.end
    if not (is_invoked or has_selection or context.diagnostics):
        return None  # otherwise a light bulb would appear in every function
    target, diagnostics = _target(document, params.range, context.diagnostics)
    if target is None:
        return None
    resident = perform_action.loaded_adapters(engine)
    items: list[t.CodeAction | t.Command] = []
    for name, action in session.settings.actions.items():
        if not action.enabled or not _is_requested(action_kind(name, action), context.only):
            continue
        if action.needs_diagnostics and not diagnostics:
            continue
        if not (is_invoked or has_selection or action.needs_diagnostics):
            continue
        route = perform_action.find_route(
            session.settings, resident, name, document.language, document.path, engine.status()
        )
        if route is not None:
            items += _items(session.client.info, document, name, action, target, diagnostics)
    return items or None


def _target(
    document: Document, requested: t.Range, diagnostics: Sequence[t.Diagnostic]
) -> tuple[Target | None, list[t.Diagnostic]]:
    """The target with those of ``diagnostics`` that are in it; a client may send all diagnostics of the document.

    For an empty range outside of functions the target is the lines of the diagnostic on the line of the cursor.
    """
    start, end = _offsets(document, requested)
    text, language, path, uri = document.text, document.language, document.path, document.uri
    target = find_target(text, start, end, language, path, uri)
    located = list(_locate(document, diagnostics))
    if target is None and start == end:
        line = requested.start.line
        on_line = [each for each in located if each[0].range.start.line <= line <= each[0].range.end.line]
        if on_line:
            _, first, last = min(on_line, key=lambda each: max(each[1] - start, start - each[2], 0))
            target = find_target(text, first, max(last, first + 1), language, path, uri)
    if target is None:
        return None, []
    inside = [(item, first) for item, first, last in located if first <= target.end and last >= target.start]
    messages = []
    for diagnostic, first in inside:
        line = text.count("\n", target.start, max(first, target.start)) + 1
        messages.append(f"Line {line}: {' '.join(diagnostic.message.split())}")
    return replace(target, diagnostics=tuple(messages)), [diagnostic for diagnostic, _ in inside]


def _locate(document: Document, diagnostics: Sequence[t.Diagnostic]) -> Iterator[tuple[t.Diagnostic, int, int]]:
    """Each diagnostic with its start and end offsets; without those that refer to an older text."""
    for diagnostic in diagnostics:
        try:
            start, end = _offsets(document, diagnostic.range)
        except DocumentOutOfSync:
            continue
        yield diagnostic, start, end


def _offsets(document: Document, span: t.Range) -> tuple[int, int]:
    start, end = span.start, span.end
    return (
        document.offset_at(Position(start.line, start.character)),
        document.offset_at(Position(end.line, end.character)),
    )


def _is_requested(kind: str, only: Sequence[t.CodeActionKind | str] | None) -> bool:
    """``only`` has kinds or their ancestors; the empty kind is the ancestor of all."""
    if only is None:
        return True
    requested = [item.value if isinstance(item, t.CodeActionKind) else item for item in only]
    return any(item in ("", kind) or kind.startswith(f"{item}.") for item in requested)


def _items(
    client: ClientInfo, document: Document, name: str, action: Action, target: Target, diagnostics: list[t.Diagnostic]
) -> list[t.CodeAction | t.Command]:
    """The entry of one action; none if it needs an instruction that the client cannot ask for."""
    title, kind = action.title, action_kind(name, action)
    command = EXPLAIN if action.becomes == "text" else ACT
    if action.needs_instruction:
        instructed = extract_comment_instruction(target) if action.becomes != "text" else None
        if instructed is not None:
            target = instructed
            title = f"{title}: {target.instruction[:_MAX_TITLE_CHARS]}"
        elif client.has_instruct:
            arguments = [_arguments(document, name, target), command]
            return [_command_item(client, f"{title} …", kind, t.Command(title, INSTRUCT, arguments=arguments))]
        else:
            return []
    data = _arguments(document, name, target)
    if command == ACT and client.has_action_literals and client.has_action_resolve:
        fixed = diagnostics if action.needs_diagnostics else None
        return [t.CodeAction(title=title, kind=kind, diagnostics=fixed, data=data)]
    if command == ACT and not client.has_apply_edit:
        return []
    return [_command_item(client, title, kind, t.Command(title, command, arguments=[data]))]


def _command_item(client: ClientInfo, title: str, kind: str, command: t.Command) -> t.CodeAction | t.Command:
    """A code action that runs ``command``; for older clients the command itself."""
    if client.has_action_literals:
        return t.CodeAction(title=title, kind=kind, command=command)
    return t.Command(title, command.command, arguments=command.arguments)


def _arguments(document: Document, name: str, target: Target) -> dict[str, Any]:
    """``ActionArguments`` as JSON."""
    covered = lsp_range(document, target.start, target.end)
    arguments: dict[str, Any] = {
        "action": name,
        "uri": document.uri,
        "version": document.version,
        "range": {
            "start": {"line": covered.start.line, "character": covered.start.character},
            "end": {"line": covered.end.line, "character": covered.end.character},
        },
    }
    if target.diagnostics:
        arguments["diagnostics"] = list(target.diagnostics)
    if target.instruction:
        arguments["instruction"] = target.instruction
    return arguments
