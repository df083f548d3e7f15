"""``starcoder/prompt``: the prompt for a suggestion at a cursor, with its tokens and its budget.

Nothing is generated for it.
"""

from __future__ import annotations

from typing import Any

from lsprotocol import types as t

from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.generation import Engine, PromptPart, SpecialToken
from starcoder_ls.lsp.documents.document import Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.action_request import require_engine
from starcoder_ls.session.session import Session

METHOD = "starcoder/prompt"


async def prompt(session: Session, params: t.TextDocumentPositionParams, _: RequestHandle) -> dict[str, Any]:
    """The parts in the order in which the model reads them, each with its number of tokens.

    Raises EngineNotReady, DocumentError, ModelUnsupported, PromptTooLong.
    """
    engine, settings = require_engine(session.supervisor), session.settings.inline_completion
    document = session.documents.for_model(params.text_document.uri)
    offset = document.offset_at(Position(params.position.line, params.position.character))
    cursor = await session.collect_context(document, session.cursor(document, document.text, offset))
    fim_prompt, status = build_prompt(engine, cursor, settings), engine.status()
    parts = [_describe_part(engine, part) for part in fim_prompt.layout.parts]
    return {
        "model": status.model,
        "adapter": cursor.adapter,
        "family": fim_prompt.layout.family,
        "order": fim_prompt.layout.order,
        "parts": parts,
        "opening": fim_prompt.forced_prefix,
        "tokens": sum(part["tokens"] for part in parts),
        "budget": {
            "promptTokens": settings.prompt_tokens,
            "maxNewTokens": settings.max_new_tokens,
            "contextTokens": status.context_tokens,
        },
        "isWanted": settings.is_enabled_in(document.language),
    }


def _describe_part(engine: Engine, part: PromptPart) -> dict[str, Any]:
    if isinstance(part, SpecialToken):
        return {"text": part.literal, "isSpecial": True, "tokens": 1}
    return {"text": part, "isSpecial": False, "tokens": engine.count_tokens(part)}
