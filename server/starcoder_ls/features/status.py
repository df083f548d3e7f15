"""``starcoder/status``: the engine's status, for an editor's status line, and how much of the workspace is indexed."""

from __future__ import annotations

from typing import Any

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session
from starcoder_ls.session.status_notifier import status_params


async def status(session: Session, _params: object, _request: RequestHandle) -> dict[str, Any]:
    workspace = session.context.collector.workspace
    indexed = {"indexedFiles": len(workspace), "isIndexed": workspace.build_complete.is_set()}
    return status_params(session.supervisor.status(), session.process_info) | {"workspace": indexed}
