"""The plain completer that the server is held against: the text around the cursor, and the answer's first line.

Same model, same prompt format, same window; no healing, no other files, no stop rule but one, nothing tidied. Refuses
to know servers.
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

_MARKS_TOKENS = 16  # of the prompt format
_FIRST_LINE = re.compile(r"\s*\S[^\n]*")


def stop(text: str) -> int | None:
    """Where the first line that is not empty has ended."""
    found = _FIRST_LINE.match(text)
    return found.end() if found and found.end() < len(text) else None


async def suggestion(engine: Engine, hole: Hole, options: InlineCompletion) -> tuple[str, float]:
    """What it would put at the hole, and the milliseconds that took."""
    began_s = time.perf_counter()
    status = engine.status()
    tokens = min(options.prompt_tokens, status.context_tokens - options.max_new_tokens - _MARKS_TOKENS)
    closers = auto_closers.closers_at(hole.text, hole.start)
    share = options.suffix_percent / 100
    seen = window.fit_window(hole.text, hole.start, closers, tokens, share, engine.count_tokens)
    prefix, suffix = hole.text[seen.start : hole.start], hole.text[hole.start : seen.end]
    family = families.find_family(status.special_tokens)
    asked = fim.build_parts(family, status.special_tokens, prefix, suffix, "", None)
    request = Request(
        asked.parts, options.max_new_tokens, prefix_parts=asked.prefix_parts, end_tokens=asked.end_tokens, stop=stop
    )
    text = ""
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
        async for chunk in stream:
            text += chunk.text
    found = _FIRST_LINE.match(text)
    return found.group() if found else "", (time.perf_counter() - began_s) * 1000
