"""``starcoder/status``: how the engine is, for an editor's status line, and how far the workspace has been indexed."""

from __future__ import annotations

from typing import Any

from starcoder_ls.session.announcer import described
from starcoder_ls.session.call import Call
from starcoder_ls.session.session import Session


async def status(session: Session, _params: object, _call: Call) -> dict[str, Any]:
    workspace = session.context.surroundings.workspace
    indexed = {"indexedFiles": len(workspace), "isIndexed": workspace.is_complete.is_set()}
    return described(session.engine.status(), session.sharing) | {"workspace": indexed}
