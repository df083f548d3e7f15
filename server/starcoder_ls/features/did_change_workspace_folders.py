"""``workspace/didChangeWorkspaceFolders``: rebuilds ignore rules and index for the new folders."""

from __future__ import annotations

from pathlib import Path

from lsprotocol.types import DidChangeWorkspaceFoldersParams

from starcoder_ls.lsp.documents.document import path_of_uri
from starcoder_ls.session.session import Session


def did_change_workspace_folders(session: Session, params: DidChangeWorkspaceFoldersParams) -> None:
    removed = {Path(path_of_uri(folder.uri)) for folder in params.event.removed}
    kept = [folder for folder in session.context.folders if folder not in removed]
    added = [Path(path) for folder in params.event.added if (path := path_of_uri(folder.uri))]
    session.context.set_folders(dict.fromkeys([*kept, *added]))
    session.file_watching.on_folders_changed()
