"""What only a CUDA device can show: nothing grows, nothing is loaded twice, a cancel frees the device."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import torch

import checkpoints
from starcoder_ls.engine import assembly
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.scheduling import batcher
from starcoder_ls.errors import OutOfMemory
from starcoder_ls.generation import Chunk, Phase, Request, Sampling
from starcoder_ls.settings import Model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

TEXT = "def wrap(text, width=70):\n    return "
COMPLETIONS = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"n_layer": 6, "n_embd": 256, "n_head": 4, "n_inner": 1024, "n_positions": 2048}
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("models") / "starcoder", **sizes)


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The runner of every load."""
    seen: list[Any] = []
    load = assembly.load

    def kept(*arguments: Any) -> Any:
        loaded = load(*arguments)
        seen.append(loaded.runner)
        return loaded

    monkeypatch.setattr(assembly, "load", kept)
    return seen


@pytest.fixture
def engine(folder: Path, runners: list[Any]) -> Iterator[LocalEngine]:
    del runners  # patched before the engine starts
    engine = LocalEngine(Model(name=str(folder), device="cuda"))
    engine.start()
    ready(engine)
    yield engine
    engine.close()


def ready(engine: LocalEngine) -> None:
    end_s = time.monotonic() + 120
    while engine.status().phase is not Phase.READY:
        assert engine.status().phase is not Phase.FAILED, engine.status().message
        assert time.monotonic() < end_s
        time.sleep(0.005)


async def answer(engine: LocalEngine, request: Request) -> list[Chunk]:
    return [chunk async for chunk in engine.stream(request)]


def recorded(runner: Any) -> None:
    """No graph waits to be recorded."""
    end_s = time.monotonic() + 120
    while runner.graphs.has_pending:
        assert time.monotonic() < end_s
        time.sleep(0.05)


def request(i: int, **changes: Any) -> Request:
    settings = {"max_new_tokens": 8, "candidates": 1 + 2 * (i % 10 == 0), "sampling": Sampling(0.8, 0.95, i)}
    return Request(parts=(TEXT * (1 + i % 20) + "x" * (i % 7),), **(settings | changes))


def test_weights_live_on_the_device_in_its_own_type(engine: LocalEngine, runners: list[Any]) -> None:
    assert {weight.device.type for weight in runners[0].model.parameters()} == {"cuda"}
    status = engine.status()
    assert status.device == "cuda"
    assert status.dtype == ("bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32")


def test_a_thousand_completions_load_nothing_and_keep_nothing(engine: LocalEngine, runners: list[Any]) -> None:
    async def some(start: int, count: int) -> None:
        for i in range(start, start + count):
            await answer(engine, request(i))

    asyncio.run(some(0, 100))  # slots reach their sizes
    recorded(runners[0])
    asyncio.run(some(0, 100))  # each graph is proven
    ready(engine)
    addresses = [weight.data_ptr() for weight in runners[0].model.parameters()]
    allocated = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    asyncio.run(some(100, 100))
    peak = torch.cuda.max_memory_allocated()
    asyncio.run(some(200, COMPLETIONS - 200))
    ready(engine)
    assert [weight.data_ptr() for weight in runners[0].model.parameters()] == addresses
    assert len(runners) == 1
    assert torch.cuda.memory_allocated() == allocated
    assert torch.cuda.max_memory_allocated() <= 1.05 * peak
    assert runners[0].graphs.statistics.replays > COMPLETIONS


def test_device_answers_what_the_cpu_answers(folder: Path) -> None:
    """In float32 on both; in bfloat16 near ties fall differently."""
    single = LocalEngine(Model(name=str(folder), device="cuda", dtype="float32"))
    reference = LocalEngine(Model(name=str(folder), device="cpu", dtype="float32"))
    texts = []
    for other in (single, reference):
        other.start()
        ready(other)
        texts.append(asyncio.run(answer(other, request(1, sampling=Sampling(), max_new_tokens=16))))
        other.close()
    assert [chunk.token_ids for chunk in texts[0]] == [chunk.token_ids for chunk in texts[1]]


def test_cancel_frees_the_device_within_a_step(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []
    run = batcher.run

    def watched(*arguments: Any) -> Logits:
        began.append(time.monotonic())
        return run(*arguments)

    monkeypatch.setattr(batcher, "run", watched)

    async def scenario() -> float:
        async with aclosing(engine.stream(request(1, max_new_tokens=1000))) as chunks:
            async for _ in chunks:
                if len(began) > 20:
                    break
        return time.monotonic()

    closed_s = asyncio.run(scenario())
    ready(engine)
    assert sum(began_s > closed_s for began_s in began) <= 1


def test_device_without_room_for_a_request_says_so_and_goes_on(folder: Path) -> None:
    """Without graphs, whose seats would make room."""
    engine = LocalEngine(Model(name=str(folder), device="cuda", cuda_graphs="off"))
    engine.start()
    ready(engine)
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_allocated() / torch.cuda.mem_get_info()[1] + 1e-5)
    torch.cuda.empty_cache()
    try:
        with pytest.raises(OutOfMemory):
            asyncio.run(answer(engine, request(1, parts=(TEXT * 50,), candidates=8)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert asyncio.run(answer(engine, request(1)))[-1].finish_reason is not None
    engine.close()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_model_is_spread_over_two_devices(folder: Path, runners: list[Any]) -> None:
    engine = LocalEngine(Model(name=str(folder), max_memory={"0": "6MiB", "1": "1GiB"}))
    engine.start()
    ready(engine)
    try:
        assert {weight.device.index for weight in runners[0].model.parameters()} == {0, 1}
        assert asyncio.run(answer(engine, request(1)))[-1].finish_reason is not None
    finally:
        engine.close()
