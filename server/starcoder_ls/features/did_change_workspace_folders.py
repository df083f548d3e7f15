"""``workspace/didChangeWorkspaceFolders``: other folders, and so other rules and another index."""

from __future__ import annotations

from pathlib import Path

from lsprotocol.types import DidChangeWorkspaceFoldersParams

from starcoder_ls.session.session import Session
from starcoder_ls.session.workspace_context import file_of


def did_change_workspace_folders(session: Session, params: DidChangeWorkspaceFoldersParams) -> None:
    gone = {file_of(folder.uri) for folder in params.event.removed}
    folders = [folder for folder in session.context.folders if str(folder) not in gone]
    added = [Path(path) for folder in params.event.added if (path := file_of(folder.uri))]
    session.context.begin(dict.fromkeys([*folders, *added]))
