"""Figures of a remote engine: a real server with the bundled model in 32 bits, on this machine.

    python benchmarks/run/remote.py [--vllm PATH] [--quick] [--only added,cancel,typing,parity,killed]

The server is llama.cpp's (wheel xllamacpp), or vLLM's with the program PATH. Parts: the time that HTTP and TLS add to
what the server says an answer took; from a cancellation to a free server, and tokens generated for nothing; requests
and prompt reuse while a simulated user types; equal suggestions at 20 cursors; the server killed, with a fallback.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib and peers

from lib import measured_server, tls_proxy
from lib.measured_server import BUNDLED, TOKEN, MeasuredServer, Start
from lib.observed_connection import ObservedConnection
from lib.typist import Typist
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.document_completer import DocumentCompleter
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.generation import Engine, Phase, Request
from starcoder_ls.remote.fallback_engine import FallbackEngine
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import InlineCompletion, Model, Remote, Settings

CURSORS, ANSWER_TOKENS, ROUNDS = 20, 16, 5
SETTINGS = InlineCompletion(budget_ms=60_000)
MAX_KEY_DELAY_S = 0.15
Rows = list[tuple[str, str, str]]
"""What, the goal, and what was measured."""


@contextmanager
def ready(engine: Engine) -> Iterator[Engine]:
    engine.start()
    try:
        while engine.status().phase is Phase.LOADING:
            time.sleep(0.02)
        if engine.status().phase is not Phase.READY:
            raise SystemExit(engine.status().message)
        yield engine
    finally:
        engine.close()


def settings_for(url: str, folder: Path, ca_file: Path | None = None) -> Settings:
    token_file = folder / "token"
    token_file.write_text(TOKEN, encoding="ascii")
    token_file.chmod(0o600)
    return Settings(remote=Remote(url=url, token_file=str(token_file), ca_file=str(ca_file or "")))


def local_engine() -> Engine:
    from starcoder_ls.engine.local_engine import LocalEngine  # imports torch

    return LocalEngine(Model(document_ngrams="off", threads=1))


def cursors() -> list[Cursor]:
    """In sources of this package, at fixed positions."""
    files = sorted((BUNDLED.parent / "completion").rglob("*.py"))
    texts = [files[number % len(files)].read_text(encoding="utf-8") for number in range(CURSORS)]
    return [Cursor(text, len(text) * (n + 1) // (CURSORS + 2), "python", f"{n}.py") for n, text in enumerate(texts)]


async def answer(engine: Engine, request: Request) -> float:
    """Milliseconds to the end of the answer."""
    started_s = time.perf_counter()
    async for _ in engine.stream(replace(request, cancel=CancelFlag(), deadline_s=None)):
        pass
    return (time.perf_counter() - started_s) * 1000


def measure_added(server: MeasuredServer, folder: Path, rounds: int) -> Rows:
    """Complete answers of 16 tokens over both ways in turns, less the time that the server says it took."""
    with tls_proxy.running(_port(server), folder) as (tls_url, certificate):
        plain, encrypted = (
            RemoteEngine(settings_for(server.url, folder)),
            RemoteEngine(settings_for(tls_url, folder, certificate)),
        )
        with ready(plain), ready(encrypted):
            engines = {"loopback": plain, "TLS": encrypted}
            added: dict[str, list[float]] = {name: [] for name in engines}

            async def run() -> None:
                for cursor in cursors() * rounds:
                    for name, engine in engines.items():
                        request = build_prompt(engine, cursor, SETTINGS).completion_request(SETTINGS)
                        request = replace(request, stop=None, max_new_tokens=ANSWER_TOKENS, forced_prefix="")
                        server.begin()
                        elapsed_ms = await answer(engine, request)
                        added[name].append(elapsed_ms - server.answer_ms())

            asyncio.run(run())
    goals = {"loopback": "≤ 10 ms", "TLS": "≤ 20 ms (in a LAN)"}
    return [
        (f"added by {name}, p50 / p95 of {len(times)}", goals[name],
         f"{statistics.median(times):.1f} / {statistics.quantiles(times, n=20)[-1]:.1f} ms")
        for name, times in added.items()
    ]  # fmt: skip


def measure_cancel(server: MeasuredServer, folder: Path, rounds: int) -> Rows:
    """After five tokens of a long answer; and suggestions that end by a stop rule, as all do while typing."""
    free_ms, step_ms, left, wasted = list[float](), list[float](), list[int](), list[int]()
    with ready(RemoteEngine(settings_for(server.url, folder))) as engine:
        assert isinstance(engine, RemoteEngine)
        observed = ObservedConnection(engine)

        async def cancel_one(cursor: Cursor) -> None:
            flag, tokens, started_s = CancelFlag(), 0, time.perf_counter()
            request = build_prompt(engine, cursor, SETTINGS).completion_request(SETTINGS)
            request = replace(request, stop=None, max_new_tokens=900, cancel=flag, deadline_s=None, forced_prefix="")
            server.begin()
            async for chunk in engine.stream(request):
                tokens += len(chunk.token_ids)
                if tokens == 1:
                    started_s = time.perf_counter()
                if tokens >= 6:
                    step_ms.append((time.perf_counter() - started_s) * 1000 / (tokens - 1))
                    break
            started_s = time.perf_counter()
            flag.set()
            generated = server.wait_until_idle()
            free_ms.append((time.perf_counter() - started_s) * 1000)
            left.append(generated - observed.records[-1].tokens)

        async def run() -> None:
            for cursor in cursors() * rounds:
                await cancel_one(cursor)
                server.begin()
                if await suggest(engine, cursor, SETTINGS):
                    wasted.append(server.wait_until_idle() - observed.records[-1].tokens)

        asyncio.run(run())
    return [
        (f"cancellation to a free server, p50 / worst of {len(free_ms)}", "≤ 1 step + 50 ms",
         f"{statistics.median(free_ms):.0f} / {max(free_ms):.0f} ms (step {statistics.median(step_ms):.1f} ms)"),
        *((f"tokens generated for nothing, mean / median / worst of {len(each)} {name}", "≤ 3",
           f"{statistics.mean(each):.1f} / {statistics.median(each):.0f} / {max(each)}")
          for name, each in (("cancellations", left), ("suggestions", wasted))),
    ]  # fmt: skip


def measure_typing(server: MeasuredServer, folder: Path, keys: int) -> Rows:
    """A simulated user at up to 150 ms a key, who asks at each; suggestions are cached, and prefetched or not."""
    rows = Rows()
    for is_ahead in (False, True):
        requests, sent, read = type_file(server, folder, keys, SETTINGS.model_copy(update={"ahead": is_ahead}))
        name = "with prefetches (`inline_completion.ahead`)" if is_ahead else "without prefetches"
        rows += [
            (f"requests per key, {keys} keys, {name}", "" if is_ahead else "≤ 0.4", f"{requests / keys:.2f}"),
            (f"prompt reuse while typing, {sent:,} tokens sent", "≥ 80 %", f"{1 - read / sent:.0%}"),
        ]
    return rows


def type_file(server: MeasuredServer, folder: Path, keys: int, settings: InlineCompletion) -> tuple[int, int, float]:
    """Requests, tokens of their prompts, and how many of those the server had to read."""
    with ready(RemoteEngine(settings_for(server.url, folder))) as engine:
        assert isinstance(engine, RemoteEngine)
        observed, read_before = ObservedConnection(engine), server.prompt_tokens_read()
        source = Path(dataclasses.__file__).read_text(encoding="utf-8")

        async def run() -> None:
            typist, completer, requested = Typist(source, 1, 8), DocumentCompleter(Metrics()), 0
            for key in typist.type_keys():
                await asyncio.sleep(min(key.delay_s, MAX_KEY_DELAY_S))
                cursor = Cursor(key.text, key.offset, "python", "dataclasses.py")
                completer.handle_change(engine, cursor.divided, settings, lambda cursor=cursor: cursor)
                if not key.requests_suggestion:
                    continue
                requested += 1
                suggestions = await completer.suggest(engine, cursor, settings)
                if suggestions:
                    typist.suggestion = (suggestions[0].text, suggestions[0].end - key.offset)
                if requested == keys:
                    break
            completer.close()

        asyncio.run(run())
        sent = sum(record.prompt_tokens for record in observed.records)
        return len(observed.records), sent, server.prompt_tokens_read() - read_before


def texts_of(engine: Engine) -> list[str | None]:
    async def collect() -> list[str | None]:
        found = [await suggest(engine, cursor, SETTINGS) for cursor in cursors()]
        return [suggestions[0].text if suggestions else None for suggestions in found]

    return asyncio.run(collect())


def measure_parity(server: MeasuredServer, folder: Path, local: Engine) -> Rows:
    with ready(RemoteEngine(settings_for(server.url, folder))) as engine:
        pairs = list(zip(texts_of(engine), texts_of(local), strict=True))
    equal = sum(remote == expected for remote, expected in pairs)
    return [("suggestions equal to the local engine's", f"{CURSORS} of {CURSORS}", f"{equal} of {CURSORS}")]


def measure_killed(start: Start, folder: Path, local: Engine) -> Rows:
    """kill -9, 20 suggestions, restart."""
    with start(0) as server:
        settings = settings_for(server.url, folder)
        remote = RemoteEngine(settings, token_timeout_s=settings.remote.fallback_after_ms / 1000)
        engine, expected = FallbackEngine(remote, local), texts_of(local)
        with ready(remote):
            asyncio.run(suggest(engine, cursors()[0], SETTINGS))
            server.kill()
            first_ms, lost, failures_to_open = 0.0, 0, 0
            for cursor, text in zip(cursors(), expected, strict=True):
                failures_to_open += remote.breaker.is_closed
                started_s = time.perf_counter()
                found = asyncio.run(suggest(engine, cursor, SETTINGS))
                first_ms = first_ms or (time.perf_counter() - started_s) * 1000
                lost += not found and text is not None
            with start(_port(server)):
                started_s = time.perf_counter()
                while not remote.is_available:
                    asyncio.run(suggest(engine, cursors()[1], SETTINGS))
                    time.sleep(0.05)
                found_again_s = time.perf_counter() - started_s
    return [
        (f"server killed: suggestions lost of {CURSORS}", "0", str(lost)),
        ("server killed: the first answer of the local model", "≤ 1 s", f"{first_ms / 1000:.2f} s"),
        ("failures until no request is sent", "2", str(failures_to_open)),
        ("restarted server used again after", "2 to 60 s after the breaker opened", f"{found_again_s:.1f} s"),
    ]


def _port(server: MeasuredServer) -> int:
    return int(server.url.rpartition(":")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", metavar="PATH", help="the program `vllm` of its environment; else llama.cpp's server")
    parser.add_argument("--quick", action="store_true", help="one round, 60 keys")
    parser.add_argument("--only", default="added,cancel,typing,parity,killed")
    options = parser.parse_args()
    rounds, keys, parts = (1, 60, options.only) if options.quick else (ROUNDS, 300, options.only)
    rows = Rows()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = measured_server.vllm(folder, options.vllm) if options.vllm else measured_server.llama_cpp(folder)
        if parts != "killed":
            with start(0) as server:
                rows += measure_added(server, folder, rounds) if "added" in parts else []
                rows += measure_cancel(server, folder, rounds) if "cancel" in parts else []
                rows += measure_typing(server, folder, keys) if "typing" in parts else []
                if "parity" in parts:
                    with ready(local_engine()) as local:
                        rows += measure_parity(server, folder, local)
        if "killed" in parts:
            with ready(local_engine()) as local:
                rows += measure_killed(start, folder, local)
    table = Table("", "goal", "measured")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
