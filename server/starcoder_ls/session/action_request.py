"""What code actions and commands share: the target of a request, and its changes as a WorkspaceEdit.

Decides which text is meant, that the document has not changed since, and which features of WorkspaceEdit are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lsprotocol import types as t

from starcoder_ls.actions import Action
from starcoder_ls.errors import ActionUnavailable, EngineNotReady
from starcoder_ls.generation import Engine
from starcoder_ls.lsp.client_info import ClientInfo
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.edits import Change
from starcoder_ls.rewrite.perform_action import PreparedAction
from starcoder_ls.rewrite.target import Target, find_target
from starcoder_ls.session.command_arguments import ActionArguments
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.feedback import ACCEPTED
from starcoder_ls.session.next_edits import EDIT_ACCEPTED, EDIT_DISMISSED
from starcoder_ls.settings import Settings

EXPLAIN, ACT = "starcoder.explain", "starcoder.act"
ATTACH, DETACH, LIST = "starcoder.attachAdapter", "starcoder.detachAdapter", "starcoder.listAdapters"
COMMANDS = (EXPLAIN, ACT, ATTACH, DETACH, LIST, ACCEPTED, EDIT_ACCEPTED, EDIT_DISMISSED)
INSTRUCT = "starcoder.instruct"
"""A command of the client: it asks the user for text, stores it as ``instruction`` in the first argument, and runs
the command in the second."""

_ANNOTATION = "starcoder"


def action_kind(name: str, action: Action) -> str:
    """The LSP kind of the action ``name``."""
    return action.kind or f"starcoder.{name}"


def content_modified() -> ResponseError:
    """The error for a document that changed while an action ran."""
    return ResponseError(
        t.LSPErrorCodes.ContentModified,
        "The document was changed in the meantime, so nothing was done. Run the action again.",
    )


def require_engine(supervisor: EngineSupervisor) -> Engine:
    """The engine. Raises EngineNotReady with the message of its status."""
    engine = supervisor.ready_engine()
    if engine is None:
        raise EngineNotReady(supervisor.status().message or "The model is not ready. Wait a moment.")
    return engine


def resolve_target(documents: Documents, arguments: ActionArguments) -> tuple[Document, Target]:
    """The document and the code that ``arguments`` mean.

    Raises DocumentError, ActionUnavailable if there is no code, ResponseError if the document has another version.
    """
    document = documents.for_model(arguments.uri)
    if arguments.version is not None and arguments.version != document.version:
        raise content_modified()
    start, end = (
        document.offset_at(Position(position.line, position.character))
        for position in (arguments.range.start, arguments.range.end)
    )
    target = find_target(document.text, start, end, document.language, document.path, document.uri)
    if target is None:
        raise ActionUnavailable(
            "There is no code here that the action applies to. Select some lines, or put the cursor into a function."
        )
    return document, replace(target, diagnostics=tuple(arguments.diagnostics), instruction=arguments.instruction)


def prepare_action(settings: Settings, engine: Engine, name: str, target: Target) -> PreparedAction:
    """The action ``name`` of an editor, ready to be sent to the model. One that needs diagnostics is refused without.

    Raises ActionUnavailable if the action cannot be performed here, PromptTooLong if the code does not fit.
    """
    prepared = perform_action.prepare_action(settings, engine, name, target)
    if prepared.action.needs_diagnostics and not target.diagnostics:
        raise ActionUnavailable(
            f"{prepared.action.title} needs a problem that the editor reports in this code, and there is none. "
            "Put the cursor on a reported problem or into its function, or select its lines."
        )
    return prepared


def workspace_edit(
    client: ClientInfo, document: Document, changes: Sequence[Change], action: Action, is_in_action: bool
) -> t.WorkspaceEdit:
    """``changes`` of ``document``, with its version and a request for confirmation if the client supports them.

    ``is_in_action``: the edit is part of a code action, for which clients declare annotations separately.
    """
    has_annotations = client.has_annotations_in_actions if is_in_action else client.has_annotations
    edits = [t.TextEdit(range=_range(document, change), new_text=change.text) for change in changes]
    if not client.has_document_changes:
        return t.WorkspaceEdit(changes={document.uri: edits})
    annotated: Sequence[t.TextEdit | t.AnnotatedTextEdit] = edits
    if has_annotations:
        annotated = [t.AnnotatedTextEdit(_ANNOTATION, edit.range, edit.new_text) for edit in edits]
    versioned = t.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    annotation = t.ChangeAnnotation(
        label=f"StarCoder: {action.title}",
        needs_confirmation=action.needs_confirmation,
        description="written by a model",
    )
    return t.WorkspaceEdit(
        document_changes=[t.TextDocumentEdit(text_document=versioned, edits=list(annotated))],
        change_annotations={_ANNOTATION: annotation} if has_annotations else None,
    )


def lsp_range(document: Document, start: int, end: int) -> t.Range:
    """The range of the offsets [start, end)."""
    first, last = document.position_at(start), document.position_at(end)
    return t.Range(t.Position(first.line, first.column), t.Position(last.line, last.column))


def _range(document: Document, change: Change) -> t.Range:
    return lsp_range(document, change.start, change.end)
