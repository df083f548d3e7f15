"""``initialized``: from here on the client may be told things; tell it how the engine is."""

from __future__ import annotations

from starcoder_ls.session.session import Session


def initialized(session: Session, _: object) -> None:
    session.announcer.start()
    session.wanted_adapters.follow()
