"""``initialized``: from now on the server may send notifications and requests to the client."""

from __future__ import annotations

from starcoder_ls.session.session import Session


def initialized(session: Session, _: object) -> None:
    session.status_notifier.start()
    session.file_watching.on_folders_changed()
    session.adapter_sync.sync()
    session.start_recovery()
