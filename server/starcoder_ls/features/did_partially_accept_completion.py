"""``textDocument/didPartiallyAcceptCompletion``: the user accepted a part of an item.

Copilot's server has this notification too.
"""

from __future__ import annotations

from collections.abc import Mapping

from starcoder_ls.session.feedback import suggestion_key
from starcoder_ls.session.session import Session

METHOD = "textDocument/didPartiallyAcceptCompletion"


def did_partially_accept_completion(session: Session, params: object) -> None:
    """``acceptedLength`` is the length of the accepted part, from the start of the item's text, in UTF-16 units."""
    length = params.get("acceptedLength") if isinstance(params, Mapping) else None
    if (key := suggestion_key(params)) and isinstance(length, int):
        session.feedback.on_partly_accepted(key, length)
