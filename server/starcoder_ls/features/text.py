"""``starcoder/text``: a document as it is here, for the window process that must say it to our successor.

Null where it is not open or out of step; whoever asks has the changes then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session

METHOD = "starcoder/text"


async def text(session: Session, params: object, _: RequestHandle) -> dict[str, Any] | None:
    """Raises DocumentError, which is null to the client."""
    uri = params.get("uri") if isinstance(params, Mapping) else None
    document = session.documents.readable(str(uri))
    return {
        "uri": document.uri,
        "languageId": document.language,
        "version": document.version,
        "text": document.text,
    }
