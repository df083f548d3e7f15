"""``initialized``: from here on the client may be told things, how the engine is, and asked to watch files for us."""

from __future__ import annotations

from starcoder_ls.session.session import Session
from starcoder_ls.session.watched_files import watch


def initialized(session: Session, _: object) -> None:
    session.announcer.start()
    watch(session)
    session.wanted_adapters.follow()
