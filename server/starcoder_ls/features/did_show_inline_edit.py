"""``textDocument/didShowInlineEdit``: a next edit is on the screen. GitHub's language server defines it."""

from __future__ import annotations

from starcoder_ls.session.feedback import suggestion_key
from starcoder_ls.session.session import Session

METHOD = "textDocument/didShowInlineEdit"


def did_show_inline_edit(session: Session, params: object) -> None:
    """``params`` has ``item.command``, the command of the edit."""
    if key := suggestion_key(params):
        session.next_edits.on_shown(key)
