"""``textDocument/didPartiallyAcceptCompletion``: a word or a line of an item was inserted; Copilot's server has it."""

from __future__ import annotations

from collections.abc import Mapping

from starcoder_ls.session.feedback import key_of
from starcoder_ls.session.session import Session

METHOD = "textDocument/didPartiallyAcceptCompletion"


def did_partially_accept_completion(session: Session, params: object) -> None:
    """``acceptedLength`` counts UTF-16 units from the beginning of the item's text."""
    length = params.get("acceptedLength") if isinstance(params, Mapping) else None
    if (key := key_of(params)) and isinstance(length, int):
        session.feedback.partly(key, length)
