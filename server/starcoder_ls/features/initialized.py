"""``initialized``: from now on the server may send notifications and requests to the client."""

from __future__ import annotations

from starcoder_ls.session.session import Session
from starcoder_ls.session.watched_files import register_file_watching


def initialized(session: Session, _: object) -> None:
    session.status_notifier.start()
    if session.client.info.has_file_watching and session.context.folders:
        session.tasks.start(register_file_watching(session.client))
    session.adapter_sync.sync()
    session.start_recovery()
