"""``textDocument/didShowCompletion``: an item is on the screen. Copilot's server has this notification too."""

from __future__ import annotations

from starcoder_ls.session.feedback import suggestion_key
from starcoder_ls.session.session import Session

METHOD = "textDocument/didShowCompletion"


def did_show_completion(session: Session, params: object) -> None:
    if key := suggestion_key(params):
        session.feedback.on_shown(key)
