"""An action as a client asks for it, and its changes as the client applies them.

Decides which text of which document is meant, that it is still that text, and how much of WorkspaceEdit the client
understands. Refuses to know prompts and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lsprotocol import types as t

from starcoder_ls.actions import Action
from starcoder_ls.errors import ActionUnavailable, EngineNotReady
from starcoder_ls.generation import Engine
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.target import Target, find_target
from starcoder_ls.session.command_arguments import ActionArguments
from starcoder_ls.session.feedback import ACCEPTED

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

EXPLAIN, ACT = "starcoder.explain", "starcoder.act"
ATTACH, DETACH, LIST = "starcoder.attachAdapter", "starcoder.detachAdapter", "starcoder.listAdapters"
COMMANDS = (EXPLAIN, ACT, ATTACH, DETACH, LIST, ACCEPTED)
INSTRUCT = "starcoder.instruct"
"""The client's own: ask the user for a line, put it into the first argument as ``instruction``, run the second."""

_ANNOTATION = "starcoder"


def kind_of(name: str, action: Action) -> str:
    return action.kind or f"starcoder.{name}"


def moved_on() -> ResponseError:
    return ResponseError(
        t.LSPErrorCodes.ContentModified,
        "The text was changed meanwhile, so nothing was done. Ask for the action again.",
    )


def require_engine(session: Session) -> Engine:
    """Raises EngineNotReady with what the engine says of itself."""
    engine = session.supervisor.ready_engine()
    if engine is None:
        raise EngineNotReady(session.supervisor.status().message or "The model is not ready. Wait a moment.")
    return engine


def asked_target(session: Session, asked: ActionArguments) -> tuple[Document, Target]:
    """Raises DocumentError, ActionUnavailable, and Refusal for a range in a text that is no more."""
    document = session.documents.readable(asked.uri)
    if asked.version is not None and asked.version != document.version:
        raise moved_on()
    start, end = (
        document.offset_at(Position(place.line, place.character)) for place in (asked.range.start, asked.range.end)
    )
    target = find_target(document.text, start, end, document.language, document.path, document.uri)
    if target is None:
        raise ActionUnavailable(
            "There is nothing here to do it to. Select some lines, or put the cursor into a function."
        )
    return document, replace(target, diagnostics=tuple(asked.diagnostics), instruction=asked.instruction)


def workspace_edit(
    session: Session, document: Document, changes: Sequence[Change], action: Action, is_in_action: bool
) -> t.WorkspaceEdit:
    """Versioned and to be confirmed where the client can; always of this one document."""
    client = session.client
    has_annotations = client.has_annotations_in_actions if is_in_action else client.has_annotations
    edits = [t.TextEdit(range=_range(document, change), new_text=change.text) for change in changes]
    if not client.has_document_changes:
        return t.WorkspaceEdit(changes={document.uri: edits})
    annotated: Sequence[t.TextEdit | t.AnnotatedTextEdit] = edits
    if has_annotations:
        annotated = [t.AnnotatedTextEdit(_ANNOTATION, edit.range, edit.new_text) for edit in edits]
    versioned = t.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    note = t.ChangeAnnotation(
        label=f"StarCoder: {action.title}",
        needs_confirmation=action.needs_confirmation,
        description="written by a model",
    )
    return t.WorkspaceEdit(
        document_changes=[t.TextDocumentEdit(text_document=versioned, edits=list(annotated))],
        change_annotations={_ANNOTATION: note} if has_annotations else None,
    )


def range_of(document: Document, start: int, end: int) -> t.Range:
    first, last = document.position_at(start), document.position_at(end)
    return t.Range(t.Position(first.line, first.column), t.Position(last.line, last.column))


def _range(document: Document, change: Change) -> t.Range:
    return range_of(document, change.start, change.end)
