"""Two replicas of this program's engine on Ray Serve: reuse of prompts, wasted tokens, and the end of a replica.

    python benchmarks/run/ray_replicas.py --serve /path/to/serve

``serve`` is that of an environment with deploy/ray/requirements.txt and this program. Documents are sources of this
package; each is typed in at the same time as the others, and asks again after a few new tokens. Prints, with and
without one replica for a document, the share of prompt tokens that was reused and the time of an answer; then the
tokens that were generated after the client had left; then what became of the requests while one replica was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

import starcoder_ls
from lib.ray_server import URL, running_ray
from starcoder_ls.text_tokens.tokenizer import Tokenizer

PACKAGE = Path(starcoder_ls.__file__).parent
TOKEN = "token-of-the-replicas"
PROMPT_TOKENS, NEW_TOKENS, ANSWER_TOKENS = 900, 6, 12
LEFT_AFTER_TOKENS, LEFT_ANSWERS = 5, 40


@dataclass
class Counts:
    answer_ms: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    reused_tokens: int = 0
    failed: int = 0
    lost: int = 0
    wrong: int = 0
    answers: dict[tuple[int, int], list[int]] = field(default_factory=dict)


@contextmanager
def running_replicas(serve: str, folder: Path, by_document: bool) -> Iterator[None]:
    """Two replicas, ready, that count the tokens which they generate."""
    tokens = folder / "tokens"
    tokens.mkdir(exist_ok=True)
    application, variables = "counting_ray_app:build", {"COUNTED_TOKENS": str(tokens)}
    options = {"replicas": 2, "by_document": str(by_document).lower()}
    with running_ray(serve, folder, TOKEN, application, variables, **options):
        yield


def open_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=URL, headers={"authorization": f"Bearer {TOKEN}"}, timeout=120.0, trust_env=False, verify=False
    )


def documents(count: int, rounds: int) -> list[list[int]]:
    """The ids of ``count`` files, as many as the last round needs."""
    tokenizer = Tokenizer.from_folder(PACKAGE / "bundled")
    needed = PROMPT_TOKENS + rounds * NEW_TOKENS
    encoded = (tokenizer.encode([file.read_text(encoding="utf-8")]) for file in sorted(PACKAGE.rglob("*.py")))
    return [ids[:needed] for ids in encoded if len(ids) >= needed][:count]


async def ask(client: httpx2.AsyncClient, document: int, prompt: list[int]) -> dict[str, Any] | None:
    """A whole answer; None if there was none."""
    body = {"model": "bundled", "prompt": prompt, "max_tokens": ANSWER_TOKENS, "return_token_ids": True}
    try:
        response = await client.post("/v1/completions", json=body, headers={"x-session-id": f"document-{document}"})
    except (httpx2.HTTPError, OSError):
        return None
    return dict(response.json()) if response.status_code == httpx2.codes.OK else None


async def type_in_documents(texts: list[list[int]], rounds: int, counts: Counts, expected: Counts | None) -> None:
    async with open_client() as client:

        async def type_in(document: int) -> None:
            for number in range(rounds):
                prompt = texts[document][: PROMPT_TOKENS + number * NEW_TOKENS]
                started_s = time.monotonic()
                answer = await ask(client, document, prompt)
                if answer is None:
                    counts.failed += 1
                    answer = await ask(client, document, prompt)
                if answer is None:
                    counts.lost += 1
                    continue
                counts.answer_ms.append((time.monotonic() - started_s) * 1000)
                usage, ids = answer["usage"], answer["choices"][0]["token_ids"]
                counts.prompt_tokens += usage["prompt_tokens"]
                counts.reused_tokens += usage["prompt_tokens_details"]["cached_tokens"]
                counts.answers[document, number] = ids
                counts.wrong += expected is not None and expected.answers[document, number] != ids

        await asyncio.gather(*map(type_in, range(len(texts))))


async def leave_answers(texts: list[list[int]]) -> int:
    """How many tokens were received of answers that were left."""
    received = 0
    async with open_client() as client:
        for number in range(LEFT_ANSWERS):
            prompt = texts[number % len(texts)][:PROMPT_TOKENS]
            body = {"model": "bundled", "prompt": prompt, "max_tokens": 200, "stream": True, "return_token_ids": True}
            async with client.stream("POST", "/v1/completions", json=body) as response:
                events = 0
                async for line in response.aiter_lines():
                    events += line.startswith("data: {")
                    if events == LEFT_AFTER_TOKENS:
                        break
                received += events
            await asyncio.sleep(0.3)
    return received


def tokens_generated(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "tokens").iterdir())


def measure_reuse(serve: str, folder: Path, texts: list[list[int]], rounds: int, by_document: bool) -> Counts:
    counts = Counts()
    with running_replicas(serve, folder, by_document):
        asyncio.run(type_in_documents(texts, rounds, counts, None))
        if by_document:
            before = tokens_generated(folder)
            received = asyncio.run(leave_answers(texts))
            time.sleep(2)
            wasted = tokens_generated(folder) - before - received
            print(f"left after {LEFT_AFTER_TOKENS} tokens: {wasted / LEFT_ANSWERS:.1f} wasted tokens an answer")
            print(describe_kill(folder, texts, rounds, counts))
    return counts


def describe_kill(folder: Path, texts: list[list[int]], rounds: int, expected: Counts) -> str:
    """The same requests again while one replica is killed."""
    counts = Counts()
    pids = [int(file.name) for file in (folder / "tokens").iterdir() if Path(f"/proc/{file.name}").exists()]

    async def run() -> None:
        typing = asyncio.create_task(type_in_documents(texts, rounds, counts, expected))
        await asyncio.sleep(1.0)
        os.kill(pids[0], signal.SIGKILL)
        await typing

    asyncio.run(run())
    killed_s = time.monotonic()
    while len([file for file in (folder / "tokens").iterdir() if Path(f"/proc/{file.name}").exists()]) < 2:
        time.sleep(0.2)
    return (
        f"killed one of {len(pids)} replicas during {len(texts) * rounds} requests: {counts.failed} failed, "
        f"{counts.lost} of them again, {counts.wrong} wrong or doubled; a new replica "
        f"{time.monotonic() - killed_s:.0f} s after the last answer"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", required=True, help="the program `serve` of the environment with Ray")
    parser.add_argument("--documents", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    texts = documents(options.documents, options.rounds)
    table = Table("requests go", "asked", "failed", "p50 ms", "p95 ms", "prompt tokens reused")
    for by_document in (True, False):
        with tempfile.TemporaryDirectory() as name:
            counts = measure_reuse(options.serve, Path(name), texts, options.rounds, by_document)
        quantiles = statistics.quantiles(counts.answer_ms, n=20)
        table.add_row(
            "by document" if by_document else "as Ray chooses", str(len(texts) * options.rounds), str(counts.failed),
            f"{statistics.median(counts.answer_ms):.0f}", f"{quantiles[-1]:.0f}",
            f"{counts.reused_tokens / max(counts.prompt_tokens, 1):.0%}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
