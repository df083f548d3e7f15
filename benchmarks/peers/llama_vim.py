"""The same keys into a llama-server that runs the same weights, in two orders of the prompt.

As llama.vim asks: prefix and suffix of whole lines first, the cursor's line after ``<fim_middle>``. And as we would
ask: our own ids in SPM variant 2. Both as token ids to ``/completion`` with slot 0 and prompt cache, so that they read
what we read; as many tokens as we made, greedy, with ``ignore_eos``, since random weights end nowhere.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.output import auto_closers
from starcoder_ls.completion.prompt import window
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.completion.prompt.families import find_family
from starcoder_ls.generation import Engine, PromptPart, SpecialToken
from starcoder_ls.settings import InlineCompletion
from starcoder_ls.text_tokens.tokenizer import Tokenizer

Ask = Callable[[str, int], Sequence[int]]
"""Text and cursor -> the ids to read."""


def as_we_ask(engine: Engine, tokenizer: Tokenizer) -> Ask:
    def ids(text: str, offset: int) -> list[int]:
        return tokenizer.encode(build_prompt(engine, Cursor(text, offset), InlineCompletion()).layout.parts)

    return ids


def as_llama_vim_asks(engine: Engine, tokenizer: Tokenizer) -> Ask:
    settings, family = InlineCompletion(), find_family(tokenizer.special_tokens)

    def ids(text: str, offset: int) -> list[int]:
        share = settings.suffix_percent / 100
        closers = auto_closers.closers_at(text, offset)
        seen = window.fit_window(text, offset, closers, settings.prompt_tokens - 64, share, engine.count_tokens)
        lines, newline, current = seen.prefix.rpartition("\n")
        parts: tuple[PromptPart, ...] = (
            SpecialToken(family.prefix), lines + newline, SpecialToken(family.suffix), seen.closers + seen.suffix,
            SpecialToken(family.middle), current,
        )  # fmt: skip
        return tokenizer.encode(part for part in parts if part != "")

    return ids


def replayed(url: str, keys: Sequence[tuple[str, int, int]], ask: Ask) -> list[float]:
    """Milliseconds of each key (text, cursor, tokens to make), one after another on one connection."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port or 8080, timeout=120)
    times = []
    for number, (text, offset, tokens) in enumerate([keys[0], *keys]):
        body = {
            "prompt": list(ask(text, offset)), "n_predict": tokens, "cache_prompt": True, "id_slot": 0,
            "temperature": 0.0, "top_k": 1, "samplers": ["top_k"], "ignore_eos": True, "stream": False,
        }  # fmt: skip
        began = time.monotonic()
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        elapsed_ms = (time.monotonic() - began) * 1000
        assert answer.get("tokens_predicted", tokens) == tokens, answer.get("error", answer)
        if number:  # the first warms it up
            times.append(elapsed_ms)
    connection.close()
    return times
