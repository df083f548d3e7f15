"""``starcoder/status``: how the engine is, for an editor's status line."""

from __future__ import annotations

from typing import Any

from starcoder_ls.session.announcer import described
from starcoder_ls.session.call import Call
from starcoder_ls.session.session import Session


async def status(session: Session, _params: object, _call: Call) -> dict[str, Any]:
    return described(session.engine.status(), session.sharing)
