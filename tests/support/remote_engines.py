"""Remote engines for tests: settings for a server, an engine that is ready, and the answer to a request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import starcoder_ls
from fake_vllm import TOKEN
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.generation import Chunk, Engine, Phase, Request, Sampling, Status
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import InlineCompletion, Remote, Settings

FORCED_BEGINNINGS = (" ret", "    ", "self.a", "'[x]*\\", "é(", "größe = '漢😀")
"""Blanks, half of a word, what regular expressions and grammars escape, and characters split over tokens."""

WAIT_S = 120.0
"""For what happens at once on a machine that does nothing else."""


def write_token(folder: Path, token: str = TOKEN) -> str:
    file = folder / "token"
    file.write_text(f"{token}\n")
    file.chmod(0o600)
    return str(file)


def settings_for(url: str, folder: Path, **others: Any) -> Settings:
    adapters = others.pop("adapters", {})
    return Settings(remote=Remote(url=url, token_file=write_token(folder), **others), adapters=adapters)


def cursors(count: int) -> Iterator[Cursor]:
    """In sources of this package, at fixed positions."""
    files = sorted((Path(starcoder_ls.__file__).parent / "completion").rglob("*.py"))
    for number in range(count):
        text = files[number % len(files)].read_text(encoding="utf-8")
        yield Cursor(text, len(text) * (number + 1) // (count + 2), "python")


async def suggestions_at(engine: Engine, positions: Iterable[Cursor], settings: InlineCompletion) -> list[str | None]:
    """The first suggestion at each position."""
    found = [await suggest(engine, cursor, settings) for cursor in positions]
    return [suggestions[0].text if suggestions else None for suggestions in found]


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """``engine`` started and not loading any more; closed at the end."""
    changed = threading.Event()

    def on_status(status: Status) -> None:
        if status.phase is not Phase.LOADING:
            changed.set()

    engine.subscribe(on_status)
    engine.start()
    try:
        assert changed.wait(WAIT_S)
        yield engine
    finally:
        engine.close()


@contextmanager
def ready_engine(settings: Settings, **options: Any) -> Iterator[RemoteEngine]:
    """A remote engine that must become ready."""
    engine = RemoteEngine(settings, is_patient=False, **options)
    with running(engine):
        if engine.status().phase is not Phase.READY:
            pytest.fail(engine.status().message)
        yield engine


async def chunks_of(engine: Engine, request: Request) -> list[Chunk]:
    return [chunk async for chunk in engine.stream(request)]


def check_candidates(engine: Engine) -> None:
    """Several candidates differ, and the first is the greedy one."""
    request = Request(("def main(",), 12, candidates=3, sampling=Sampling(1.5, 1.0, 7))
    chunks = asyncio.run(chunks_of(engine, request))
    texts = ["".join(chunk.text for chunk in chunks if chunk.candidate == number) for number in range(3)]
    assert len(set(texts)) == 3
    assert texts[0] == answer_of(engine, Request(("def main(",), 12))


def check_forced_beginning(engine: Engine, local: Engine, forced: str) -> None:
    """An answer that must begin with ``forced`` is that of the model in this process."""
    request = Request(("def area(self, width, height):\n   ",), 32, forced_prefix=forced)
    assert answer_of(engine, request) == answer_of(local, request) != ""


def answer_of(engine: Engine, request: Request) -> str:
    """The text of the first candidate."""
    return "".join(chunk.text for chunk in asyncio.run(chunks_of(engine, request)) if chunk.candidate == 0)
