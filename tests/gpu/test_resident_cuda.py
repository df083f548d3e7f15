"""The engine on a CUDA device: memory does not grow, nothing is loaded twice, cancellation frees the device."""

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
from starcoder_ls.engine.runner.model_runner import ModelRunner
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
    """The runner of each model that is loaded."""
    loaded_runners: list[Any] = []
    load = assembly.load

    def record(*arguments: Any, **options: Any) -> Any:
        loaded = load(*arguments, **options)
        loaded_runners.append(loaded.runner)
        return loaded

    monkeypatch.setattr(assembly, "load", record)
    return loaded_runners


@pytest.fixture
def engine(folder: Path, runners: list[Any]) -> Iterator[LocalEngine]:
    del runners  # patched before the engine starts
    engine = LocalEngine(Model(name=str(folder), device="cuda"))
    engine.start()
    wait_until_ready(engine)
    yield engine
    engine.close()


def wait_until_ready(engine: LocalEngine) -> None:
    end_s = time.monotonic() + 120
    while engine.status().phase is not Phase.READY:
        assert engine.status().phase is not Phase.FAILED, engine.status().message
        assert time.monotonic() < end_s
        time.sleep(0.005)


async def answer(engine: LocalEngine, request: Request) -> list[Chunk]:
    return [chunk async for chunk in engine.stream(request)]


def wait_for_captures(runner: Any) -> None:
    """Wait until no graph is to be captured."""
    end_s = time.monotonic() + 120
    while runner.graphs.has_pending:
        assert time.monotonic() < end_s
        time.sleep(0.05)


def build_request(number: int, **changes: Any) -> Request:
    settings = {"max_new_tokens": 8, "candidates": 1 + 2 * (number % 10 == 0), "sampling": Sampling(0.8, 0.95, number)}
    return Request(parts=(TEXT * (1 + number % 20) + "x" * (number % 7),), **(settings | changes))


def test_weights_are_on_the_device_in_its_native_type(engine: LocalEngine, runners: list[Any]) -> None:
    assert {weight.device.type for weight in runners[0].model.parameters()} == {"cuda"}
    status = engine.status()
    assert status.device == "cuda"
    assert status.dtype == ("bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32")


def test_completions_load_and_allocate_nothing(engine: LocalEngine, runners: list[Any]) -> None:
    async def answer_requests(start: int, count: int) -> None:
        for number in range(start, start + count):
            await answer(engine, build_request(number))

    asyncio.run(answer_requests(0, 100))  # caches reach their capacities
    wait_for_captures(runners[0])
    asyncio.run(answer_requests(0, 100))  # each graph is verified
    wait_until_ready(engine)
    addresses = [weight.data_ptr() for weight in runners[0].model.parameters()]
    allocated = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    asyncio.run(answer_requests(100, 100))
    peak = torch.cuda.max_memory_allocated()
    asyncio.run(answer_requests(200, COMPLETIONS - 200))
    wait_until_ready(engine)
    assert [weight.data_ptr() for weight in runners[0].model.parameters()] == addresses
    assert len(runners) == 1
    assert torch.cuda.memory_allocated() == allocated
    assert torch.cuda.max_memory_allocated() <= 1.05 * peak
    assert runners[0].graphs.statistics.replays > COMPLETIONS


def test_device_and_cpu_generate_the_same_tokens(folder: Path) -> None:
    """In float32 on both; bfloat16 decides near ties differently."""
    on_device = LocalEngine(Model(name=str(folder), device="cuda", dtype="float32"))
    on_cpu = LocalEngine(Model(name=str(folder), device="cpu", dtype="float32"))
    answers = []
    for engine in (on_device, on_cpu):
        engine.start()
        wait_until_ready(engine)
        answers.append(asyncio.run(answer(engine, build_request(1, sampling=Sampling(), max_new_tokens=16))))
        engine.close()
    assert [chunk.token_ids for chunk in answers[0]] == [chunk.token_ids for chunk in answers[1]]


def test_cancellation_ends_a_request_within_one_step(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    started_s: list[float] = []
    run_batch = ModelRunner.run_batch

    def record(*arguments: Any) -> list[Logits]:
        started_s.append(time.monotonic())
        return run_batch(*arguments)

    monkeypatch.setattr(ModelRunner, "run_batch", record)

    async def scenario() -> float:
        async with aclosing(engine.stream(build_request(1, max_new_tokens=1000))) as chunks:
            async for _ in chunks:
                if len(started_s) > 20:
                    break
        return time.monotonic()

    closed_s = asyncio.run(scenario())
    wait_until_ready(engine)
    assert sum(pass_s > closed_s for pass_s in started_s) <= 1


def test_request_without_memory_raises_and_the_engine_continues(folder: Path) -> None:
    """Without graphs: disabling them would free memory."""
    engine = LocalEngine(Model(name=str(folder), device="cuda", cuda_graphs="off"))
    engine.start()
    wait_until_ready(engine)
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_allocated() / torch.cuda.mem_get_info()[1] + 1e-5)
    torch.cuda.empty_cache()
    try:
        with pytest.raises(OutOfMemory):
            asyncio.run(answer(engine, build_request(1, parts=(TEXT * 50,), candidates=8)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert asyncio.run(answer(engine, build_request(1)))[-1].finish_reason is not None
    engine.close()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_model_is_distributed_over_two_devices(folder: Path, runners: list[Any]) -> None:
    engine = LocalEngine(Model(name=str(folder), max_memory={"0": "6MiB", "1": "1GiB"}))
    engine.start()
    wait_until_ready(engine)
    try:
        assert {weight.device.index for weight in runners[0].model.parameters()} == {0, 1}
        assert asyncio.run(answer(engine, build_request(1)))[-1].finish_reason is not None
    finally:
        engine.close()
