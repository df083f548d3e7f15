"""Times a llama-server with the same weights on the same keys, with two orders of the prompt.

llama.vim sends prefix and suffix of whole lines first and the line of the cursor after ``<fim_middle>``; our own
prompts are in SPM variant 2. Both are sent as token ids to ``/completion`` with slot 0 and prompt cache, and generate
as many tokens as our server did, greedily and with ``ignore_eos``, because random weights do not end an answer.
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

PromptBuilder = Callable[[str, int], Sequence[int]]
"""From text and cursor offset to the token ids of the prompt."""


def our_prompt(engine: Engine, tokenizer: Tokenizer) -> PromptBuilder:
    def ids(text: str, offset: int) -> list[int]:
        return tokenizer.encode(build_prompt(engine, Cursor(text, offset), InlineCompletion()).layout.parts)

    return ids


def llama_vim_prompt(engine: Engine, tokenizer: Tokenizer) -> PromptBuilder:
    settings, family = InlineCompletion(), find_family(tokenizer.special_tokens)

    def ids(text: str, offset: int) -> list[int]:
        share = settings.suffix_percent / 100
        closers = auto_closers.closers_at(text, offset)
        seen = window.fit_window(text, offset, closers, settings.prompt_tokens - 64, share, engine.count_tokens)
        lines, newline, current = seen.prefix.rpartition("\n")
        parts: tuple[PromptPart, ...] = (
            SpecialToken(family.prefix), lines + newline, SpecialToken(family.suffix), closers + seen.suffix,
            SpecialToken(family.middle), current,
        )  # fmt: skip
        return tokenizer.encode(part for part in parts if part != "")

    return ids


def time_keys(url: str, keys: Sequence[tuple[str, int, int]], build_ids: PromptBuilder) -> list[float]:
    """Milliseconds of each key (text, cursor offset, tokens to generate), one after another on one connection."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port or 8080, timeout=120)
    times = []
    for number, (text, offset, tokens) in enumerate([keys[0], *keys]):
        ids = list(build_ids(text, offset))
        body = {
            "prompt": ids if number else ids[::-1], "n_predict": tokens, "cache_prompt": True, "id_slot": 0,
            "temperature": 0.0, "top_k": 1, "samplers": ["top_k"], "ignore_eos": True, "stream": False,
        }  # fmt: skip
        start_s = time.monotonic()
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        elapsed_ms = (time.monotonic() - start_s) * 1000
        assert answer.get("tokens_predicted", tokens) == tokens, answer.get("error", answer)
        if number:  # the first call is the warm-up, with a prompt of which nothing is cached for the first key
            times.append(elapsed_ms)
    connection.close()
    return times
