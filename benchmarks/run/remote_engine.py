"""A running vLLM server with the bundled model: equal suggestions, added time, and tokens wasted after cancellations.

    STARCODER_LS_REMOTE_TOKEN=... python benchmarks/run/remote_engine.py http://127.0.0.1:8000

The added time is that of `RemoteEngine` beside a plain HTTP client that reads the same answer over one connection; the
two ask in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import starcoder_ls
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.commands.support.engine_factory import ConfiguredEngineFactory, LocalEngineFactory, loaded_engine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.generation import Engine, Request
from starcoder_ls.remote.endpoint import TOKEN_VARIABLE
from starcoder_ls.settings import InlineCompletion, Model, Remote, Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer

PACKAGE = Path(starcoder_ls.__file__).parent
CURSORS, REQUESTS, CANCELLATIONS, ANSWER_TOKENS, KEPT_TOKENS = 20, 60, 20, 12, 5
INLINE = InlineCompletion(budget_ms=120_000, max_new_tokens=16)
POLL_S, WAIT_S = 0.005, 120.0
PROMPT = (PACKAGE / "app.py").read_text(encoding="utf-8")[:2000]


def cursors() -> list[Cursor]:
    files = sorted((PACKAGE / "completion").rglob("*.py"))
    texts = [files[number % len(files)].read_text(encoding="utf-8") for number in range(CURSORS)]
    return [Cursor(text, len(text) * (at + 1) // (CURSORS + 2), "python") for at, text in enumerate(texts)]


async def suggestions(engine: Engine) -> list[str]:
    found = [await suggest(engine, cursor, INLINE) for cursor in cursors()]
    return [each[0].text if each else "" for each in found]


async def answer_ms(engine: Engine) -> float:
    """Until the last token of an answer."""
    started_s = time.perf_counter()
    async for _ in engine.stream(Request((PROMPT,), ANSWER_TOKENS)):
        pass
    return (time.perf_counter() - started_s) * 1000


class PlainClient:
    """One connection, and no work on the answer but reading it."""

    def __init__(self, url: str, model: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=WAIT_S)
        self._headers = {
            "authorization": f"Bearer {os.environ.get(TOKEN_VARIABLE, '')}",
            "content-type": "application/json",
        }
        ids = Tokenizer.from_folder(PACKAGE / "bundled").encode([PROMPT])
        self._body = {"model": model, "prompt": ids, "max_tokens": ANSWER_TOKENS, "temperature": 0, "logprobs": 0,
                      "return_token_ids": True, "stream": True}  # fmt: skip

    def answer_ms(self) -> float:
        started_s = time.perf_counter()
        self._connection.request("POST", "/v1/completions", json.dumps(self._body), self._headers)
        self._connection.getresponse().read()
        return (time.perf_counter() - started_s) * 1000

    def metric(self, name: str) -> float:
        self._connection.request("GET", "/metrics")
        lines = self._connection.getresponse().read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"vllm:{name}{{"))

    def wait_until_idle(self) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while self.metric("num_requests_running"):
            if time.monotonic() > deadline_s:
                sys.exit("The server does not become idle. Use one that nobody else uses.")
            threading.Event().wait(POLL_S)


async def cancelled(engine: Engine, client: PlainClient) -> tuple[float, float]:
    """Tokens that were generated but not received, and the ms from the cancellation until the server is idle."""
    client.wait_until_idle()
    before, received, flag = client.metric("generation_tokens_total"), 0, CancelFlag()
    async for chunk in engine.stream(Request((PROMPT,), 1000, cancel=flag)):
        received += len(chunk.token_ids)
        if received == KEPT_TOKENS:
            flag.set()
            cancelled_s = time.perf_counter()
    client.wait_until_idle()
    idle_ms = (time.perf_counter() - cancelled_s) * 1000
    return client.metric("generation_tokens_total") - before - received, idle_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    url = parser.parse_args().url
    local = Settings(model=Model(document_ngrams="off", threads=1))
    with loaded_engine(local, LocalEngineFactory(lambda *_: False), shows_progress=False) as engine:
        expected = asyncio.run(suggestions(engine))
    with loaded_engine(Settings(remote=Remote(url=url)), ConfiguredEngineFactory(), shows_progress=False) as engine:
        equal = sum(map(str.__eq__, expected, asyncio.run(suggestions(engine))))
        print(f"suggestions equal to those of the model in this process: {equal} of {CURSORS}")
        client = PlainClient(url, engine.status().model)
        pairs = [(client.answer_ms(), asyncio.run(answer_ms(engine))) for _ in range(REQUESTS)]
        plain_ms, engine_ms = (statistics.median(times) for times in zip(*pairs, strict=True))
        added_ms = statistics.median(ours - plain for plain, ours in pairs)
        print(
            f"{ANSWER_TOKENS} tokens, medians of {REQUESTS}: plain client {plain_ms:.1f} ms, engine {engine_ms:.1f} ms"
        )
        print(f"median of the differences: {added_ms:.1f} ms")
        wasted, idle_ms = zip(*(asyncio.run(cancelled(engine, client)) for _ in range(CANCELLATIONS)), strict=True)
        for name, values in (("tokens wasted", wasted), ("ms until the server is idle", idle_ms)):
            median, most = statistics.median(values), max(values)
            print(f"{name} after a cancellation, median and maximum of {CANCELLATIONS}: {median:.0f}, {most:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
