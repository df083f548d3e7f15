"""The baseline that the server is compared with: the text around the cursor as prompt, the answer's first line.

Model, prompt format and window are the server's. Token healing, context from other files, stop rules and filters are
left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from starcoder_ls.completion.output import auto_closers
from starcoder_ls.completion.prompt import families, fim, window
from starcoder_ls.evaluation.holes import Hole
from starcoder_ls.generation import Chunk, Engine, Request
from starcoder_ls.settings import InlineCompletion

_RESERVED_TOKENS = 16  # for the special tokens of the prompt format
_FIRST_LINE = re.compile(r"\s*\S[^\n]*")


def stop_after_first_line(text: str) -> int | None:
    """The stop rule: the length up to the end of the first line that is not blank; None while that line may grow."""
    found = _FIRST_LINE.match(text)
    return found.end() if found and found.end() < len(text) else None


async def suggest_first_line(engine: Engine, hole: Hole, options: InlineCompletion) -> tuple[str, float]:
    """The suggestion for the hole, and the milliseconds that it took."""
    started_s = time.perf_counter()
    status = engine.status()
    tokens = min(options.prompt_tokens, status.context_tokens - options.max_new_tokens - _RESERVED_TOKENS)
    closers = auto_closers.closers_at(hole.text, hole.start)
    suffix_share = options.suffix_percent / 100
    fitted = window.fit_window(hole.text, hole.start, closers, tokens, suffix_share, engine.count_tokens)
    prefix, suffix = hole.text[fitted.start : hole.start], hole.text[hole.start : fitted.end]
    family = families.find_family(status.special_tokens)
    order = fim.resolve_order(family, None, has_token_healing=False)
    prompt = fim.build_parts(family, status.special_tokens, prefix, suffix, "", order)
    request = Request(
        prompt.parts,
        options.max_new_tokens,
        prefix_parts=prompt.prefix_parts,
        end_tokens=prompt.end_tokens,
        stop=stop_after_first_line,
    )
    text = ""
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
        async for chunk in stream:
            text += chunk.text
    found = _FIRST_LINE.match(text)
    return found.group() if found else "", (time.perf_counter() - started_s) * 1000
