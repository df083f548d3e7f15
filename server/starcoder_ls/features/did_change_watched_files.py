"""``workspace/didChangeWatchedFiles``: files of the workspace, maybe ignore rules, changed on disk."""

from __future__ import annotations

from lsprotocol.types import DidChangeWatchedFilesParams

from starcoder_ls.session.session import Session


def did_change_watched_files(session: Session, params: DidChangeWatchedFilesParams) -> None:
    session.context.on_files_changed([change.uri for change in params.changes])
