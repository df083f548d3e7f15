"""``starcoder/documentStatus``: whether a document may reach the model, and why not; for an editor's status line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsprotocol import types as t

from starcoder_ls.lsp.documents.document import path_of_uri
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.session import Session


async def document_status(session: Session, params: object, _request: RequestHandle) -> dict[str, Any]:
    """``params`` is ``{textDocument: {uri}}``; the document need not be open. Raises ResponseError for other params."""
    document = params.get("textDocument") if isinstance(params, Mapping) else None
    uri = document.get("uri") if isinstance(document, Mapping) else None
    if not isinstance(uri, str):
        raise ResponseError(t.ErrorCodes.InvalidParams, "The params of documentStatus must be {textDocument: {uri}}.")
    return session.context.document_status(uri, path_of_uri(uri))
