"""``textDocument/didShowCompletion``: an item is on the screen. Copilot's server has this notification too."""

from __future__ import annotations

from starcoder_ls.session.feedback import key_of
from starcoder_ls.session.session import Session

METHOD = "textDocument/didShowCompletion"


def did_show_completion(session: Session, params: object) -> None:
    if key := key_of(params):
        session.feedback.shown(key)
