"""The Ray Serve application with two replicas of the bundled model, beside the same model in this process.

RAY_SERVE_COMMAND=/path/to/serve pytest -m servers tests/e2e/test_ray_serve.py
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest

from fake_vllm import BUNDLED as TOKENIZER
from fake_vllm import TOKEN
from lib.ray_server import URL, running_ray
from ray_server import COMMAND, needs_ray, replica_processes
from remote_engines import WAIT_S, answer_of, cursors, ready_engine, settings_for, suggestions_at
from starcoder_ls.errors import EngineUnreachable
from starcoder_ls.generation import Engine, Request
from starcoder_ls.remote.circuit_breaker import CircuitBreaker
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import InlineCompletion, Model, Settings

pytestmark = [pytest.mark.servers, needs_ray]

INLINE = InlineCompletion(budget_ms=120_000, max_new_tokens=16)
CURSORS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = replica_processes()
    with running_ray(COMMAND, tmp_path_factory.mktemp("ray"), TOKEN):
        yield
    assert replica_processes() == before, "the end of the application ends its replicas"


@pytest.fixture(scope="module")
def engine(server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteEngine]:
    del server
    with ready_engine(settings_for(URL, tmp_path_factory.mktemp("settings"))) as ready:
        yield ready


@pytest.fixture(scope="module")
def local() -> Iterator[Engine]:
    from starcoder_ls.commands.support.engine_factory import LocalEngineFactory, loaded_engine

    settings = Settings(model=Model(threads=1))
    with loaded_engine(settings, LocalEngineFactory(lambda *_: False), shows_progress=False) as loaded:
        yield loaded


def test_suggestions_equal_those_of_the_model_in_this_process(engine: RemoteEngine, local: Engine) -> None:
    """With the n-grams of the document, which the replica finds in the ids of the prompt."""
    expected = asyncio.run(suggestions_at(local, cursors(CURSORS), INLINE))
    assert len({text for text in expected if text}) > CURSORS / 2
    assert asyncio.run(suggestions_at(engine, cursors(CURSORS), INLINE)) == expected


def test_requests_of_a_document_reuse_its_prompt(server: None) -> None:
    del server
    headers, prompt = {"authorization": f"Bearer {TOKEN}"}, TOKENIZER.encode(["def f(x):\n    return x\n" * 40])
    for document in range(6):
        session = {"x-session-id": f"document-{document}"}
        own = [*TOKENIZER.encode([f"# document {document}\n"]), *prompt]
        for number in range(4):
            body = {"model": "bundled", "prompt": own[: len(own) - 20 + number], "max_tokens": 2}
            answer = httpx2.post(f"{URL}/v1/completions", json=body, headers=headers | session, timeout=WAIT_S).json()
            reused = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            assert number == 0 or reused >= len(own) - 24, "the replica that read it before"


def test_killed_replica_costs_at_most_what_it_worked_on(engine: RemoteEngine) -> None:
    expected = answer_of(engine, Request(("def f(",), 8))
    os.kill(replica_processes()[0], signal.SIGKILL)
    failures = 0
    for _ in range(20):
        try:
            assert answer_of(engine, Request(("def f(",), 8)) == expected
        except EngineUnreachable:
            failures += 1
            engine.breaker = CircuitBreaker()
    assert failures <= 1
    deadline_s = time.monotonic() + WAIT_S
    while len(replica_processes()) < 2:
        assert time.monotonic() < deadline_s, "Ray starts a replica in place of the killed one"
        threading.Event().wait(0.2)
