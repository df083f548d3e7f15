"""``window/workDoneProgress/cancel``: the user cancels a request at its progress."""

from __future__ import annotations

from lsprotocol.types import WorkDoneProgressCancelParams

from starcoder_ls.session.session import Session


def work_done_progress_cancel(session: Session, params: WorkDoneProgressCancelParams) -> None:
    """A token that has ended or cannot be cancelled is ignored."""
    session.progress.cancel(params.token)
