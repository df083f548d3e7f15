"""``shutdown``: nothing to keep; the protocol itself has ended what was in flight."""

from __future__ import annotations

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session


async def shutdown(session: Session, _params: object, _call: RequestHandle) -> None:
    session.announcer.stop()
    session.context.close()
    session.clear_desks()
