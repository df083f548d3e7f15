"""``textDocument/didShowCompletion``: an item of ours is on the screen, as Copilot's server hears of it."""

from __future__ import annotations

from starcoder_ls.session.feedback import key_of
from starcoder_ls.session.session import Session

METHOD = "textDocument/didShowCompletion"


def did_show_completion(session: Session, params: object) -> None:
    if key := key_of(params):
        session.feedback.shown(key)
