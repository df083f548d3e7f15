"""``textDocument/codeAction``: what can be done to the selected code, or to the function around the cursor.

Decides what is offered and never asks a model: editors ask at every move of the cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lsprotocol import types as t

from starcoder_ls.actions import Action
from starcoder_ls.errors import DocumentOutOfSync
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target, extract_comment_instruction, find_target
from starcoder_ls.session.action_request import ACT, EXPLAIN, INSTRUCT, kind_of, range_of
from starcoder_ls.session.session import Session

_TITLE_CHARS = 60


async def code_action(
    session: Session, params: t.CodeActionParams, _: RequestHandle
) -> list[t.CodeAction | t.Command] | None:
    """Only what a resident adapter (or a base tuned for it) can do; null where that is nothing."""
    engine = session.supervisor.ready_engine()
    if engine is None:
        return None
    document = session.documents.readable(params.text_document.uri)
    context = params.context
    is_by_hand = context.trigger_kind is not t.CodeActionTriggerKind.Automatic
    is_selection = params.range.start != params.range.end
    if not (is_by_hand or is_selection or context.diagnostics):
        return None  # a light bulb in every function tells nothing
    target, problems = _target(document, params.range, context.diagnostics)
    if target is None:
        return None
    loaded = perform_action.loaded_adapters(engine)
    offered: list[t.CodeAction | t.Command] = []
    for name, action in session.settings.actions.items():
        if not action.enabled or not _is_wanted(kind_of(name, action), context.only):
            continue
        if action.needs_diagnostics and not problems:
            continue
        if not (is_by_hand or is_selection or action.needs_diagnostics):
            continue
        if perform_action.find_route(session.settings, loaded, name, document.language, document.path) is not None:
            offered += _items(session, document, name, action, target, problems)
    return offered or None


def _target(
    document: Document, asked: t.Range, diagnostics: Sequence[t.Diagnostic]
) -> tuple[Target | None, list[t.Diagnostic]]:
    """What is meant, with what editors report of it; a problem outside of functions means its own lines."""
    start, end = (document.offset_at(Position(place.line, place.character)) for place in (asked.start, asked.end))
    text, language, path, uri = document.text, document.language, document.path, document.uri
    target = find_target(text, start, end, language, path, uri)
    spans = list(_spans(document, diagnostics))
    if target is None and start == end and spans:
        _, first, last = spans[0]
        target = find_target(text, first, max(last, first + 1), language, path, uri)
    if target is None:
        return None, []
    inside = [one for one in spans if one[1] <= target.end and one[2] >= target.start]
    said = []
    for problem, first, _last in inside:
        line = text.count("\n", target.start, max(first, target.start)) + 1
        said.append(f"Line {line}: {' '.join(problem.message.split())}")
    return replace(target, diagnostics=tuple(said)), [problem for problem, _, _ in inside]


def _spans(document: Document, diagnostics: Sequence[t.Diagnostic]) -> Iterator[tuple[t.Diagnostic, int, int]]:
    for problem in diagnostics:
        places = (problem.range.start, problem.range.end)
        try:
            start, end = (document.offset_at(Position(place.line, place.character)) for place in places)
        except DocumentOutOfSync:
            continue  # of an older text
        yield problem, start, end


def _is_wanted(kind: str, only: Sequence[t.CodeActionKind | str] | None) -> bool:
    """``only`` names kinds or the roots of kinds; the empty kind is the root of all."""
    if only is None:
        return True
    wanted = [one.value if isinstance(one, t.CodeActionKind) else one for one in only]
    return any(one in ("", kind) or kind.startswith(f"{one}.") for one in wanted)


def _items(
    session: Session, document: Document, name: str, action: Action, target: Target, problems: list[t.Diagnostic]
) -> list[t.CodeAction | t.Command]:
    """One entry; none where the user would have to say something and cannot."""
    title = action.title
    command = EXPLAIN if action.becomes == "text" else ACT
    if action.needs_instruction:
        instructed = extract_comment_instruction(target) if action.becomes != "text" else None
        if instructed is not None:
            target = instructed
            title = f"{title}: {target.instruction[:_TITLE_CHARS]}"
        elif session.client.can_instruct:
            again = [_arguments(document, name, target), command]
            return [_run(session, f"{title} …", kind_of(name, action), t.Command(title, INSTRUCT, arguments=again))]
        else:
            return []
    asked = _arguments(document, name, target)
    if command == ACT and session.client.has_action_literals and session.client.has_action_resolve:
        fixed = problems if action.needs_diagnostics else None
        return [t.CodeAction(title=title, kind=kind_of(name, action), diagnostics=fixed, data=asked)]
    if command == ACT and not session.client.has_apply_edit:
        return []
    return [_run(session, title, kind_of(name, action), t.Command(title, command, arguments=[asked]))]


def _run(session: Session, title: str, kind: str, command: t.Command) -> t.CodeAction | t.Command:
    if session.client.has_action_literals:
        return t.CodeAction(title=title, kind=kind, command=command)
    return t.Command(title, command.command, arguments=command.arguments)


def _arguments(document: Document, name: str, target: Target) -> dict[str, Any]:
    """Plain JSON, which ``ActionArguments`` reads when it comes back."""
    covered = range_of(document, target.start, target.end)
    asked: dict[str, Any] = {
        "action": name,
        "uri": document.uri,
        "version": document.version,
        "range": {
            "start": {"line": covered.start.line, "character": covered.start.character},
            "end": {"line": covered.end.line, "character": covered.end.character},
        },
    }
    if target.diagnostics:
        asked["diagnostics"] = list(target.diagnostics)
    if target.instruction:
        asked["instruction"] = target.instruction
    return asked
