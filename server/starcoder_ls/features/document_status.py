"""``starcoder/documentStatus``: whether a document may reach a model, and why not; for an editor's status line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsprotocol import types as t

from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.session import Session
from starcoder_ls.session.workspace_context import file_of


async def document_status(session: Session, params: object, _call: RequestHandle) -> dict[str, Any]:
    """``params`` is ``{textDocument: {uri}}``; the document need not be open."""
    document = params.get("textDocument") if isinstance(params, Mapping) else None
    uri = document.get("uri") if isinstance(document, Mapping) else None
    if not isinstance(uri, str):
        raise ResponseError(t.ErrorCodes.InvalidParams, "documentStatus wants {textDocument: {uri}}.")
    return session.context.described(uri, file_of(uri))
