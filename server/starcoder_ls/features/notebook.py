"""``starcoder/notebook``: a notebook as this server has it, which the window process sends to the daemon's successor.

The result is null for a notebook that is not open, or of which a cell is not in sync; the window process then replays
its changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session

METHOD = "starcoder/notebook"


async def notebook(session: Session, params: object, _: RequestHandle) -> dict[str, Any] | None:
    """The params of ``notebookDocument/didOpen``. Raises DocumentError, for which ``app`` responds with null."""
    uri = params.get("uri") if isinstance(params, Mapping) else None
    return session.notebook_sync.snapshot(str(uri))
