"""A real llama.cpp server with the bundled model, beside the same model in this process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import starcoder_ls
from http_api_client import serving_api
from peers.llama_server import CONTEXT_TOKENS, running_llama_server
from remote_engines import (
    FORCED_BEGINNINGS,
    WAIT_S,
    answer_of,
    check_candidates,
    check_forced_beginning,
    cursors,
    ready_engine,
    settings_for,
    suggestions_at,
)
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.generation import Engine, FinishReason, Request, SpecialToken
from starcoder_ls.remote.remote_engine import RemoteEngine
from starcoder_ls.settings import InlineCompletion, Model

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

pytestmark = pytest.mark.slow

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
SETTINGS = InlineCompletion(budget_ms=120_000, max_new_tokens=16)
TOKEN = "sesame"
CURSORS = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from peers.llama_cpp import convert  # imports torch

    model = convert(BUNDLED, tmp_path_factory.mktemp("gguf") / "bundled.gguf", "f32")
    with running_llama_server(model, TOKEN) as (url, _):
        yield url


@pytest.fixture(scope="module")
def engine(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteEngine]:
    with ready_engine(settings_for(server, tmp_path_factory.mktemp("settings"))) as ready:
        yield ready


@pytest.fixture(scope="module")
def local() -> Iterator[Engine]:
    from starcoder_ls.commands.support.engine_factory import LocalEngineFactory, loaded_engine
    from starcoder_ls.settings import Settings

    settings = Settings(model=Model(document_ngrams="off", threads=1))
    with loaded_engine(settings, LocalEngineFactory(lambda *_: False), shows_progress=False) as loaded:
        yield loaded


def test_facts_of_the_server_are_read(engine: RemoteEngine) -> None:
    status = engine.status()
    assert (status.model, status.context_tokens) == ("bundled", CONTEXT_TOKENS)
    assert status.capabilities.forced_prefix
    assert status.message == ""


def test_suggestions_equal_those_of_the_model_in_this_process(engine: RemoteEngine, local: Engine) -> None:
    def texts(of: Engine) -> list[str | None]:
        return asyncio.run(suggestions_at(of, cursors(CURSORS), SETTINGS))

    expected = texts(local)
    assert len({text for text in expected if text}) > CURSORS / 2
    assert texts(engine) == expected


def test_fim_prompt_has_the_answer_of_the_model_in_this_process(engine: RemoteEngine, local: Engine) -> None:
    markers = [SpecialToken(f"<fim_{name}>") for name in ("prefix", "suffix", "middle")]
    request = Request((markers[0], "def add(a, b):\n    ", markers[1], "\n", markers[2]), 12)
    assert answer_of(engine, request) == answer_of(local, request) != ""


@pytest.mark.parametrize("forced", FORCED_BEGINNINGS)
def test_forced_beginning_has_the_answer_of_the_model_here(engine: RemoteEngine, local: Engine, forced: str) -> None:
    check_forced_beginning(engine, local, forced)


def test_http_api_in_front_of_the_server_has_its_answers(server: str, local: Engine, tmp_path: Path) -> None:
    """What `serve --http PORT --engine URL` gives to another starcoder-ls."""
    settings = settings_for(server, tmp_path)
    with serving_api(RemoteEngine(settings), TOKEN) as url, ready_engine(settings_for(url, tmp_path)) as outer:
        for forced in FORCED_BEGINNINGS:
            check_forced_beginning(outer, local, forced)


def test_candidates_differ_and_the_first_is_the_greedy_one(engine: RemoteEngine) -> None:
    check_candidates(engine)


def test_cancelled_answer_frees_its_slot(engine: RemoteEngine) -> None:
    flag, chunks = CancelFlag(), []

    async def cancel_after_some() -> None:
        async for chunk in engine.stream(Request(("x = ",), 1500, stop=lambda _: None, cancel=flag)):
            chunks.append(chunk)
            flag.set()

    asyncio.run(cancel_after_some())
    assert chunks[-1].finish_reason is FinishReason.CANCELLED
    assert answer_of(engine, Request(("y = ",), 4))


def test_killed_server_is_found_again_after_its_restart(server: str, tmp_path: Path) -> None:
    del server  # its model is converted already
    from peers.llama_cpp import convert

    model = convert(BUNDLED, tmp_path / "bundled.gguf", "f16")
    with running_llama_server(model, TOKEN) as (url, process), ready_engine(settings_for(url, tmp_path)) as engine:
        before = answer_of(engine, Request(("def f(",), 8))
        killer = threading.Timer(0.0, process.kill)
        killer.start()
        killer.join()
        process.wait(WAIT_S)
        with pytest.raises(Exception, match=r"reached|early"):
            answer_of(engine, Request(("def f(",), 8))
        with running_llama_server(model, TOKEN, int(url.rpartition(":")[2])):
            assert answer_of(engine, Request(("def f(",), 8)) == before


def test_process_with_a_remote_engine_loads_no_torch(server: str, tmp_path: Path) -> None:
    settings = settings_for(server, tmp_path)
    code = f"""
import asyncio, sys
from pathlib import Path
import starcoder_ls.commands.serve
from starcoder_ls.commands.support.engine_factory import ConfiguredEngineFactory, loaded_engine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.settings import InlineCompletion, Settings

settings = Settings.model_validate_json({settings.model_dump_json()!r})
with loaded_engine(settings, ConfiguredEngineFactory(), shows_progress=False) as engine:
    found = asyncio.run(suggest(engine, Cursor("import ", 7, "python"), InlineCompletion(budget_ms=120_000)))
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
print(sorted({{"torch", "numpy", "transformers", "numba"}} & sys.modules.keys()), int(resident.split()[1]) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules, resident_mb = done.stdout.split("] ")
    assert modules == "["
    assert int(resident_mb) < 95, "a window with a remote model; the aim is 80 MB"
