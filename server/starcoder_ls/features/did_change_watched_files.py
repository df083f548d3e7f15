"""``workspace/didChangeWatchedFiles``: files of the workspace changed on disk, and ignore rules may have."""

from __future__ import annotations

from lsprotocol.types import DidChangeWatchedFilesParams

from starcoder_ls.session.session import Session


def did_change_watched_files(session: Session, params: DidChangeWatchedFilesParams) -> None:
    session.context.changed_on_disk([change.uri for change in params.changes])
