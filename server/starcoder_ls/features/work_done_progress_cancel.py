"""``window/workDoneProgress/cancel``: the user's own way to end what takes long."""

from __future__ import annotations

from lsprotocol.types import WorkDoneProgressCancelParams

from starcoder_ls.session.session import Session


def work_done_progress_cancel(session: Session, params: WorkDoneProgressCancelParams) -> None:
    """Nothing for a token that is over, or that cannot be cancelled."""
    call = session.cancellable.get(params.token)
    if call is not None:
        call.cancel_by_client()
