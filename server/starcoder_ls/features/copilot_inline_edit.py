"""``textDocument/copilotInlineEdit``: the next edit, somewhere in the document. GitHub's language server defines it.

Decides that the result is always an object: clients read ``edits`` from it without a check. There is at most one edit:
sidekick.nvim applies all of them at once, although they are alternatives.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types as t
from pydantic import BaseModel, Field

from starcoder_ls.errors import DocumentError
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.command_arguments import LinePosition, parse_arguments
from starcoder_ls.session.next_edits import EDIT_ACCEPTED, Offer
from starcoder_ls.session.session import Session

METHOD = "textDocument/copilotInlineEdit"


class _Identifier(BaseModel):
    uri: str
    version: int | None = None


class _Params(BaseModel):
    document: _Identifier = Field(alias="textDocument")
    position: LinePosition


async def copilot_inline_edit(session: Session, raw: object, _: RequestHandle) -> dict[str, Any]:
    """No edit for another version of the document, and for a document that must not be read.

    Raises ResponseError for invalid params.
    """
    params = parse_arguments(_Params, raw, METHOD)
    await session.completion_requests.wait_until_idle()  # a suggestion is more urgent, and the search would slow it
    try:
        document = session.documents.for_model(params.document.uri)
        if params.document.version not in (None, document.version):
            return {"edits": []}
        cursor = document.offset_at(Position(params.position.line, params.position.character))
        offer = await session.next_edits.find(document, cursor)
    except DocumentError:
        return {"edits": []}
    return {"edits": [] if offer is None else [_item(document, offer)]}


def _item(document: Document, offer: Offer) -> dict[str, Any]:
    start, end = (document.position_at(at) for at in (offer.replacement.start, offer.replacement.end))
    return {
        "text": offer.replacement.text,
        "range": {
            "start": {"line": start.line, "character": start.column},
            "end": {"line": end.line, "character": end.column},
        },
        "textDocument": {"uri": document.uri, "version": document.version},
        "command": {"title": "Accepted", "command": EDIT_ACCEPTED, "arguments": [{"id": offer.key}]},
    }


def run_command_notification(session: Session, params: t.ExecuteCommandParams) -> None:
    """``workspace/executeCommand`` as a notification: copilot.el reports an applied edit so."""
    if params.command == EDIT_ACCEPTED and params.arguments and isinstance(params.arguments[0], dict):
        session.next_edits.on_accepted(str(params.arguments[0].get("id")))
