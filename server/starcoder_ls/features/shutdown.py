"""``shutdown``: stops background work; the protocol has cancelled the running requests."""

from __future__ import annotations

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session


async def shutdown(session: Session, _params: object, _request: RequestHandle) -> None:
    session.status_notifier.stop()
    session.context.close()
    session.completers.discard_all()
