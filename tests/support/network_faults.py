"""Faults of the network between a language server and its remote engine, played through an editor's connection.

``play`` plays one: two windows complete code with the server's model; the fault begins, and every request gets exactly
one answer, from the local model or null; few requests reach the server; the fault ends, and the server answers again.
``tests/e2e/test_network_faults.py`` plays each once, ``run_network_faults.py`` many times.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from fake_vllm import BUNDLED, FakeVllm, Fault, serving
from fakes import FakeClock, ScriptedEngine
from harness import INLINE_COMPLETION, connect_client, wait_until_ready
from remote_engines import settings_for
from starcoder_ls.app import Server
from starcoder_ls.generation import Engine
from starcoder_ls.lsp.client import Client
from starcoder_ls.remote.circuit_breaker import FIRST_DELAY_S, MAX_FAILURES, CircuitBreaker
from starcoder_ls.remote.fallback_engine import FallbackEngine
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import InlineCompletion, Settings, Sharing

T = TypeVar("T")

REMOTE, LOCAL = "remote_value", "local_value"
REQUESTS = 4
"""Of the first window while the fault lasts."""
TOKEN_TIMEOUT_S = 0.3
BUDGET_MS = 300
"""The time limit of a request where only that ends it."""
LONG_BUDGET_MS = 60_000


@dataclass
class Site:
    """A server of vLLM's dialect on one port, which it keeps, and what takes its place there."""

    folder: Path
    has_tls: bool = False
    fake: FakeVllm = field(default_factory=lambda: FakeVllm(lambda _: f"{REMOTE}\n"))
    port: int = 0
    _running: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, certificate: str = "own") -> None:
        tls = server_context(self.folder, certificate) if self.has_tls else None
        self._running.enter_context(serving(self.fake, tls, self.port))
        self.port = int(self.fake.url.rpartition(":")[2])

    def stop(self) -> None:
        self._running.close()

    def settings(self) -> Settings:
        ca_file = str(certificate_file(self.folder, "own")) if self.has_tls else ""
        return settings_for(self.fake.url, self.folder, ca_file=ca_file)


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """``applied`` makes it last as long as the context. ``requests``: how many the failing server may get.

    ``starts``: it lets an answer begin. ``budget_ms``: the time limit of requests without a fallback. ``opens``: it
    opens the breaker.
    """

    applied: Callable[[Site], Any]
    has_tls: bool = False
    requests: int | None = MAX_FAILURES
    starts: bool = False
    budget_ms: int = LONG_BUDGET_MS
    opens: bool = True


@contextmanager
def of_requests(site: Site, fault: Fault) -> Iterator[None]:
    site.fake.fault = fault
    try:
        yield
    finally:
        site.fake.fault = None


def requests_fail(**values: Any) -> Callable[[Site], Any]:
    return lambda site: of_requests(site, Fault(**values))


@contextmanager
def no_server(site: Site) -> Iterator[None]:
    site.stop()
    try:
        yield
    finally:
        site.start()


@contextmanager
def no_answer(site: Site) -> Iterator[None]:
    """Connections are made by the system, and no server accepts them."""
    site.stop()
    try:
        with socket.create_server(("127.0.0.1", site.port)):
            yield
    finally:
        site.start()


@contextmanager
def other_certificate(site: Site) -> Iterator[None]:
    site.stop()
    site.start("other")
    try:
        yield
    finally:
        site.stop()
        site.start()


FAULTS: dict[str, NetworkFault] = {
    "no server at the address": NetworkFault(no_server, requests=None),
    "drop before the response": NetworkFault(requests_fail(closes_before=True), requests=2 * MAX_FAILURES),  # repeated
    "drop within an answer": NetworkFault(requests_fail(tokens=2), starts=True),
    "503": NetworkFault(requests_fail(status=503), requests=1, opens=False),
    "silence before the first token": NetworkFault(requests_fail(tokens=0, is_stalled=True), budget_ms=BUDGET_MS),
    "silence within an answer": NetworkFault(
        requests_fail(tokens=2, is_stalled=True), starts=True, budget_ms=BUDGET_MS
    ),
    "connection without any answer": NetworkFault(no_answer, requests=None, budget_ms=BUDGET_MS),
    "TLS: certificate of another authority": NetworkFault(other_certificate, has_tls=True, requests=0),
    "TLS: no handshake": NetworkFault(no_answer, has_tls=True, requests=None, budget_ms=BUDGET_MS),
    "slow stream": NetworkFault(requests_fail(token_s=0.05), requests=REQUESTS + 1, starts=True, opens=False),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Milliseconds to the first answer after the fault began, and until the server answered again after it ended (with
    a clock that does not wait for the breaker); requests that reached the failing server."""

    first_answer_ms: float
    recovery_ms: float
    requests: int


def play(name: str, has_fallback: bool, folder: Path) -> Outcome:
    """Raises AssertionError if anything is not as it must be."""
    return asyncio.run(asyncio.wait_for(_play(FAULTS[name], has_fallback, folder), 300))


async def _play(fault: NetworkFault, has_fallback: bool, folder: Path) -> Outcome:
    async with in_thread(Site(folder, fault.has_tls)) as site:
        clock = FakeClock()
        advance = partial(clock.advance, FIRST_DELAY_S)
        engine = make_engine(site, clock, has_fallback)
        budget_ms = LONG_BUDGET_MS if has_fallback else fault.budget_ms
        async with AsyncExitStack() as stack:
            windows = await stack.enter_async_context(open_windows(engine, site, budget_ms))
            first, second = windows
            await first.ask_until(REMOTE, advance)
            sent_before = len(site.fake.completions)
            async with in_thread(fault.applied(site)):
                started_s = time.monotonic()
                answers = [await first.ask()]
                first_answer_ms = (time.monotonic() - started_s) * 1000
                answers += [await first.ask() for _ in range(REQUESTS - 1)]
                answers.append(await second.ask())
                sent = len(site.fake.completions) - sent_before
            check_answers(fault, has_fallback, answers)
            assert fault.requests is None or sent <= fault.requests, f"{sent} requests reached the failing server"
            assert engine_breaker(engine).is_closed != fault.opens
            recovery_ms = await recover(windows, advance)
            assert not [window for window in windows if window.client.unmatched_responses]
    return Outcome(first_answer_ms, recovery_ms, sent)


@asynccontextmanager
async def in_thread(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave ``context``, which runs an event loop, in another thread."""
    entered = await asyncio.to_thread(context.__enter__)
    try:
        yield entered
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def check_answers(fault: NetworkFault, has_fallback: bool, answers: list[str | None]) -> None:
    if not fault.opens and fault.starts:  # slow, but complete
        assert answers == [REMOTE] * len(answers)
        return
    for number, answer in enumerate(answers):
        if fault.starts and number < MAX_FAILURES:
            started = (answer or "").removesuffix(LOCAL if has_fallback else "")
            assert REMOTE.startswith(started), answers
            assert not has_fallback or (started and answer != started), answers
        else:
            assert answer == (LOCAL if has_fallback else None), answers


async def recover(windows: tuple[Window, Window], advance: Callable[[], None]) -> float:
    started_s = time.monotonic()
    for window in windows:
        await window.ask_until(REMOTE, advance)
    return (time.monotonic() - started_s) * 1000


def make_engine(site: Site, clock: FakeClock, has_fallback: bool) -> Engine:
    breaker = CircuitBreaker(clock.monotonic)
    if not has_fallback:
        return RemoteEngine(site.settings(), breaker=breaker)
    remote = RemoteEngine(site.settings(), token_timeout_s=TOKEN_TIMEOUT_S, breaker=breaker)
    local = ScriptedEngine([[LOCAL, "\n"]])
    local.set_status(special_tokens=BUNDLED.special_tokens)  # of the same family
    return FallbackEngine(remote, local)


def engine_breaker(engine: Engine) -> CircuitBreaker:
    remote = engine._remote if isinstance(engine, FallbackEngine) else engine
    assert isinstance(remote, RemoteEngine)
    return remote.breaker


@asynccontextmanager
async def open_windows(engine: Engine, site: Site, budget_ms: int) -> AsyncIterator[tuple[Window, Window]]:
    """Two windows of one process. Nothing is cached or prefetched, so that each request needs an engine."""
    completion = InlineCompletion(budget_ms=budget_ms, remember=False, ahead=False)
    changes = {"inline_completion": completion, "sharing": Sharing(release_minutes=0)}
    server = Server(lambda _: engine, site.settings().model_copy(update=changes))
    try:
        async with connect_client(server) as first, connect_client(server) as second:
            for client in (first, second):
                await client.initialize(None, INLINE_COMPLETION)
                await wait_until_ready(client)
            yield Window(first, "file:///project/first.py"), Window(second, "file:///project/second.py")
    finally:
        await asyncio.to_thread(server.close)


class Window:
    """An editor with a document of one line."""

    def __init__(self, client: Client, uri: str) -> None:
        self.client, self._uri, self._version = client, uri, 1
        client.open(uri, "")

    async def ask(self) -> str | None:
        """The text of the suggestion at the end of a new line; None if there is none. Raises ResponseFailed."""
        self._version += 1
        text = f"name_{self._version} = "
        self.client.change(self._uri, self._version, {"text": text})
        items = await self.client.inline_completion(self._uri, 0, len(text))
        return items[0]["insertText"] if items else None

    async def ask_until(self, expected: str, before_each: Callable[[], None]) -> None:
        """Ask until the suggestion is ``expected``; a busy machine may have opened the breaker before."""
        limit_s = time.monotonic() + 300
        while (before_each(), await self.ask())[1] != expected:
            assert time.monotonic() < limit_s, f"no suggestion was {expected}"
            await asyncio.sleep(0.01)


def count_descriptors() -> int:
    """Open descriptors of this process, after garbage collection: sockets of failed handshakes are in cycles."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def certificate_file(folder: Path, name: str) -> Path:
    """A certificate for this machine that is its own authority, with its key in the file beside it."""
    file = folder / f"{name}.pem"
    if not file.is_file():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                   "-keyout", str(file.with_suffix(".key")), "-out", str(file), "-days", "2", "-subj", f"/CN={name}",
                   "-addext", "subjectAltName=IP:127.0.0.1"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    return file


def server_context(folder: Path, name: str) -> ssl.SSLContext:
    file = certificate_file(folder, name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, file.with_suffix(".key"))
    return context
