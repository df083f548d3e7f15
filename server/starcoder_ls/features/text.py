"""``starcoder/text``: a document as this server has it, which the window process sends to the daemon's successor.

The result is null for a document that is not open or not in sync; the window process then replays its changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session

METHOD = "starcoder/text"


async def text(session: Session, params: object, _: RequestHandle) -> dict[str, Any] | None:
    """Raises DocumentError, for which ``app`` responds with null."""
    uri = params.get("uri") if isinstance(params, Mapping) else None
    document = session.documents.for_model(str(uri))
    return {
        "uri": document.uri,
        "languageId": document.language,
        "version": document.version,
        "text": document.text,
    }
