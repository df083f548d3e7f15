"""200 simulated developers through the gateway to four replicas, with and without document affinity.

    python benchmarks/run/gateway.py [--people 200] [--seconds 60]

The replicas are processes with vLLM's API, its prefix cache by blocks, and the times of a model that ``--prefill-us``
and ``--token-ms`` state; no model runs. Three in ten developers type at once, and a third of their keys needs the model
(the others are answered by the cache of suggestions): each of these documents asks every 4.3 s. The client leaves an
answer after a few tokens, as its stop rules do, and asks again once if an answer breaks. After a third of the time one
replica is killed, after two thirds another one is added. Prints the time to the first token, the share of prompt tokens
that was reused, and answers lost, wrong or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

from lib.fake_replica import free_port
from starcoder_ls.gateway.users import add_user

REPLICA = Path(__file__).parents[1] / "lib" / "fake_replica.py"
REPLICAS, KILLED, ADDED = 4, 1, 4
PROMPT_TOKENS, ANSWER_TOKENS = 1000, 15
TYPING_SHARE, REQUESTS_PER_S = 0.3, 0.7 * 0.33
"""Of the developers at the peak; of one that types, without what the cache of suggestions answers."""
_NEW_TOKENS = 6
"""Typed between two requests."""


@dataclass
class Counts:
    first_token_ms: list[float] = field(default_factory=list)
    requested: int = 0
    answered: int = 0
    repeated: int = 0
    lost: int = 0
    wrong: int = 0


@dataclass
class Site:
    """The processes of a gateway and its replicas, in ``folder``."""

    folder: Path
    has_affinity: bool
    prefill_us: float
    token_ms: float
    ports: list[int] = field(default_factory=list)
    replicas: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_replica(self) -> None:
        self.ports.append(free_port())
        times = [f"prefill_s={self.prefill_us / 1e6}", f"token_s={self.token_ms / 1e3}"]
        self.replicas.append(subprocess.Popen([sys.executable, str(REPLICA), str(self.ports[-1]), *times]))

    def write_settings(self, port: int) -> Path:
        """All replicas that have been started, also the one that was killed: the gateway has to notice it."""
        urls = ", ".join(f'"http://127.0.0.1:{replica}"' for replica in self.ports)
        file = self.folder / "gateway.toml"
        file.write_text(
            f'listen = "127.0.0.1:{port}"\nreplicas = [{urls}]\nusers_file = "users"\nsecret_file = "secret"\n'
            "requests_per_minute = 100000\nconcurrent_requests = 1000\nhealth_interval_s = 1\n"
        )
        return file


async def type_in_document(
    client: httpx2.AsyncClient, number: int, has_affinity: bool, until_s: float, counts: Counts
) -> None:
    rng = random.Random(number)
    prompt = [rng.randrange(49152) for _ in range(PROMPT_TOKENS)]
    await asyncio.sleep(rng.random() / REQUESTS_PER_S)
    while time.monotonic() < until_s:
        prompt += [rng.randrange(49152) for _ in range(_NEW_TOKENS)]
        session = f"document-{number}" if has_affinity else f"{rng.random()}"
        counts.requested += 1
        if not await ask(client, prompt, session, counts):
            counts.repeated += 1
            counts.lost += not await ask(client, prompt, session, counts)
        await asyncio.sleep(rng.expovariate(REQUESTS_PER_S))


async def ask(client: httpx2.AsyncClient, prompt: list[int], session: str, counts: Counts) -> bool:
    """One completion, of which the client leaves the rest after ``ANSWER_TOKENS``. Whether it was answered."""
    body = {"model": "model", "prompt": prompt, "max_tokens": 64, "stream": True, "return_token_ids": True}
    received: list[int] = []
    started_s, first_s = time.monotonic(), 0.0
    try:
        async with client.stream("POST", "/v1/completions", json=body, headers={"x-session-id": session}) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    first_s = first_s or time.monotonic()
                    received += json.loads(line[6:])["choices"][0]["token_ids"]
                if len(received) >= ANSWER_TOKENS:
                    break
    except (httpx2.HTTPError, OSError):
        return False
    if len(received) < ANSWER_TOKENS:
        return False
    counts.first_token_ms.append((first_s - started_s) * 1000)
    counts.answered += 1
    counts.wrong += received != list(range(len(received)))
    return True


async def measure(people: int, seconds: float, site: Site, token: str, port: int, gateway_pid: int) -> Counts:
    counts = Counts()
    until_s = time.monotonic() + seconds
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=people)
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}, limits=limits, timeout=60.0,
        trust_env=False, verify=False,
    ) as client:  # fmt: skip
        typing = [
            asyncio.create_task(type_in_document(client, number, site.has_affinity, until_s, counts))
            for number in range(round(people * TYPING_SHARE))
        ]
        await asyncio.sleep(seconds / 3)
        site.replicas[KILLED].kill()
        await asyncio.sleep(seconds / 3)
        site.start_replica()
        await asyncio.sleep(2.0)  # its imports
        site.write_settings(port)
        os.kill(gateway_pid, signal.SIGHUP)
        await asyncio.gather(*typing)
    return counts


def run(people: int, seconds: float, site: Site) -> tuple[Counts, float]:
    """The counts, and the share of the prompts' tokens that the surviving replicas reused."""
    for _ in range(REPLICAS):
        site.start_replica()
    token, port = add_user(site.folder / "users", "people"), free_port()
    file = site.write_settings(port)
    gateway = subprocess.Popen([sys.executable, "-m", "starcoder_ls", "gateway", "serve", str(file)])
    try:
        wait_until_healthy([port, *site.ports])
        counts = asyncio.run(measure(people, seconds, site, token, port, gateway.pid))
        read = [httpx2.get(f"http://127.0.0.1:{p}/counters").json() for n, p in enumerate(site.ports) if n != KILLED]
        reused = sum(each["reused_tokens"] for each in read) / max(sum(each["prompt_tokens"] for each in read), 1)
    finally:
        for process in (gateway, *site.replicas):
            process.terminate()
            process.wait()
    assert len(site.replicas) - 1 == ADDED
    return counts, reused


def wait_until_healthy(ports: list[int]) -> None:
    for port in ports:
        while True:
            try:
                if httpx2.get(f"http://127.0.0.1:{port}/health").status_code == httpx2.codes.OK:
                    break
            except httpx2.HTTPError:
                time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--prefill-us", type=float, default=150.0, help="per token that is read")
    parser.add_argument("--token-ms", type=float, default=1.6, help="per generated token")
    options = parser.parse_args()
    table = Table("", "asked", "answered", "asked again", "lost", "wrong", "p50 ms", "p95 ms", "reused")
    for has_affinity in (True, False):
        with tempfile.TemporaryDirectory() as name:
            site = Site(Path(name), has_affinity, options.prefill_us, options.token_ms)
            counts, reused = run(options.people, options.seconds, site)
        quantiles = statistics.quantiles(counts.first_token_ms, n=20)
        table.add_row(
            "by document" if has_affinity else "at random",
            *(str(value) for value in (counts.requested, counts.answered, counts.repeated, counts.lost, counts.wrong)),
            f"{statistics.median(counts.first_token_ms):.0f}", f"{quantiles[-1]:.0f}", f"{reused:.0%}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
