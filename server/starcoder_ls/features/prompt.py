"""``starcoder/prompt``: what the model would read for a suggestion at a cursor, and what of its budget that takes.

Decides how prompt and budget are told. Refuses to know how a prompt is made; nothing is generated for it.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types as t

from starcoder_ls.completion.suggest import build_prompt
from starcoder_ls.generation import PromptPart, SpecialToken
from starcoder_ls.lsp.documents.document import Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.action_request import require_engine
from starcoder_ls.session.session import Session

METHOD = "starcoder/prompt"


async def prompt(session: Session, params: t.TextDocumentPositionParams, _: RequestHandle) -> dict[str, Any]:
    """The parts in the order the model reads them, each with its tokens. Raises what making a prompt raises."""
    engine, wanted = require_engine(session), session.settings.inline_completion
    document = session.documents.readable(params.text_document.uri)
    offset = document.offset_at(Position(params.position.line, params.position.character))
    cursor = session.cursor(document, document.text, offset)
    asked = build_prompt(engine, cursor, wanted)

    def told(part: PromptPart) -> dict[str, Any]:
        if isinstance(part, SpecialToken):
            return {"text": part.literal, "isSpecial": True, "tokens": 1}
        return {"text": part, "isSpecial": False, "tokens": engine.count_tokens(part)}

    parts = [told(part) for part in asked.prompt.parts]
    status = engine.status()
    return {
        "model": status.model,
        "adapter": cursor.adapter,
        "family": asked.prompt.family,
        "order": asked.prompt.order,
        "parts": parts,
        "opening": asked.forced_prefix,
        "tokens": sum(part["tokens"] for part in parts),
        "budget": {
            "promptTokens": wanted.prompt_tokens,
            "maxNewTokens": wanted.max_new_tokens,
            "contextTokens": status.context_tokens,
        },
        "isWanted": wanted.is_wanted_in(document.language),
    }
