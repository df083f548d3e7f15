"""``starcoder/status``: how the engine is, for an editor's status line, and how far the workspace has been indexed."""

from __future__ import annotations

from typing import Any

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session
from starcoder_ls.session.status_notifier import described


async def status(session: Session, _params: object, _call: RequestHandle) -> dict[str, Any]:
    workspace = session.context.surroundings.workspace
    indexed = {"indexedFiles": len(workspace), "isIndexed": workspace.is_complete.is_set()}
    return described(session.supervisor.status(), session.sharing) | {"workspace": indexed}
