"""Two replicas of this program's engine on Ray Serve: reuse of prompts, wasted tokens, and the end of a replica.

    python benchmarks/run/ray_replicas.py --serve /path/to/serve

``serve`` is that of an environment with deploy/ray/requirements.txt and this program. Documents are sources of this
package; all are typed in at the same time, and each asks again after a few new tokens. Prints, with and without one
replica for a document, the share of prompt tokens that was reused and the time of an answer; then the tokens that were
generated for answers that the client left, and the same without Ray; then what became of the requests while one replica
was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
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
from lib.counting_engine import FOLDER, read_times
from lib.fake_replica import free_port
from lib.ray_server import PATHS, START_TIMEOUT_S, URL, running_ray
from lib.started_server import wait_until_healthy
from starcoder_ls.text_tokens.tokenizer import Tokenizer

LIB = Path(__file__).parents[1] / "lib"
PACKAGE = Path(starcoder_ls.__file__).parent
TOKEN = "token-of-the-replicas"
PROMPT_TOKENS, NEW_TOKENS, ANSWER_TOKENS = 900, 6, 12
SHAPES = ((6, 10), (12, 4))
"""Documents, and how often each asks."""
LEFT_AFTER_TOKENS, LEFT_ANSWERS, REST_S = 5, 20, 0.5


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
    application, variables = "lib.counting_ray_app:build", {FOLDER: str(tokens)}
    options = {"replicas": 2, "by_document": str(by_document).lower()}
    with running_ray(serve, folder, TOKEN, application, variables, **options):
        yield


@contextmanager
def running_without_ray(folder: Path) -> Iterator[str]:
    """The URL of one such replica in a process of its own."""
    port, tokens, log = free_port(), folder / "tokens", folder / "http.log"
    command = [sys.executable, str(LIB / "counting_http_server.py"), str(port), TOKEN]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | PATHS | {FOLDER: str(tokens)}
        )
    try:
        wait_until_healthy(url := f"http://127.0.0.1:{port}", process, log, START_TIMEOUT_S)
        yield url
    finally:
        process.kill()
        process.wait()


def open_client(url: str = URL) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=120.0, trust_env=False, verify=False
    )


def documents() -> list[list[list[int]]]:
    """For each of SHAPES the ids of files of their own, as many as the last round needs."""
    tokenizer = Tokenizer.from_folder(PACKAGE / "bundled")
    needed = PROMPT_TOKENS + max(rounds for _, rounds in SHAPES) * NEW_TOKENS
    encoded = (tokenizer.encode([file.read_text(encoding="utf-8")]) for file in sorted(PACKAGE.rglob("*.py")))
    long = (ids[:needed] for ids in encoded if len(ids) >= needed)
    return [list(itertools.islice(long, count)) for count, _ in SHAPES]


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


@dataclass
class LeftAnswer:
    """Times in nanoseconds of the machine's monotonic clock: when the request was sent, when tokens arrived (as many
    times as tokens), and when the connection was closed."""

    sent: int
    arrived: list[int]
    left: int = 0


async def leave_answers(texts: list[list[int]], url: str) -> list[LeftAnswer]:
    """Answers that are left after LEFT_AFTER_TOKENS tokens, one after the other."""
    answers = []
    async with open_client(url) as client:
        for number in range(LEFT_ANSWERS):
            prompt = texts[number % len(texts)][:PROMPT_TOKENS]
            body = {"model": "bundled", "prompt": prompt, "max_tokens": 200, "stream": True, "return_token_ids": True}
            answers.append(answer := LeftAnswer(time.monotonic_ns(), []))
            async with client.stream("POST", "/v1/completions", json=body) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        ids = json.loads(line[6:])["choices"][0]["token_ids"]
                        answer.arrived += [time.monotonic_ns()] * len(ids)
                    if len(answer.arrived) >= LEFT_AFTER_TOKENS:
                        break
                answer.left = time.monotonic_ns()
            await asyncio.sleep(REST_S)
    return answers


def describe_waste(answers: list[LeftAnswer], times: list[int]) -> tuple[str, ...]:
    """Medians over the answers: tokens wasted, and on their way when the client left; ms of a token from engine to
    client, from leaving to the last token, and between two tokens."""
    columns = []
    for answer, following in itertools.pairwise([*answers, LeftAnswer(time.monotonic_ns(), [])]):
        generated = [at for at in times if answer.sent <= at < following.sent]
        arrived = len(answer.arrived)
        columns.append((
            len(generated) - arrived,
            sum(at <= answer.left for at in generated) - arrived,
            statistics.median(to - at for at, to in zip(generated, answer.arrived, strict=False)) / 1e6,
            (generated[-1] - answer.left) / 1e6,
            statistics.median(to - at for at, to in itertools.pairwise(generated)) / 1e6,
        ))  # fmt: skip
    medians = [statistics.median(values) for values in zip(*columns, strict=True)]
    wasted = [values[0] for values in columns]
    return f"{medians[0]:.0f} ({min(wasted)} to {max(wasted)})", *(f"{value:.1f}" for value in medians[1:])


def measure_waste(folder: Path, texts: list[list[int]], url: str) -> tuple[str, ...]:
    answers = asyncio.run(leave_answers(texts, url))
    return describe_waste(answers, read_times(folder / "tokens"))


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


def measure_replicas(serve: str, folder: Path, by_document: bool, reuse: Table, waste: Table) -> None:
    """Add rows to the tables. With ``by_document`` also left answers, and one replica that is killed."""
    measured: list[tuple[list[list[int]], int, Counts]] = []
    with running_replicas(serve, folder, by_document):
        for texts, (_, rounds) in zip(documents(), SHAPES, strict=True):
            measured.append((texts, rounds, counts := Counts()))
            asyncio.run(type_in_documents(texts, rounds, counts, None))
            reuse.add_row(
                "by document" if by_document else "as Ray chooses",
                f"{len(texts)} × {rounds}",
                str(counts.failed),
                *(f"{statistics.quantiles(counts.answer_ms, n=20)[at]:.0f}" for at in (9, 18)),
                f"{counts.reused_tokens / max(counts.prompt_tokens, 1):.1%}",
            )
        if by_document:
            waste.add_row("Ray", *measure_waste(folder, measured[0][0], URL))
            for texts, rounds, counts in measured:
                print(describe_kill(folder, texts, rounds, counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", required=True, help="the program `serve` of the environment with Ray")
    options = parser.parse_args()
    reuse = Table("requests go", "documents × requests", "failed", "p50 ms", "p95 ms", "prompt tokens reused")
    waste = Table("answers left", "wasted (all)", "on the way", "ms to the client", "ms to the end", "ms a token")
    for by_document in (True, False):
        with tempfile.TemporaryDirectory() as name:
            measure_replicas(options.serve, Path(name), by_document, reuse, waste)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "tokens").mkdir()
        with running_without_ray(Path(name)) as url:
            waste.add_row("without Ray", *measure_waste(Path(name), documents()[0], url))
    for table in (reuse, waste):
        Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
