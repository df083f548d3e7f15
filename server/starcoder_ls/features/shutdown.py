"""``shutdown``: nothing to keep; the protocol itself has ended what was in flight."""

from __future__ import annotations

from starcoder_ls.session.call import Call
from starcoder_ls.session.session import Session


async def shutdown(session: Session, _params: object, _call: Call) -> None:
    session.announcer.stop()
    session.context.close()
    session.clear_desks()
