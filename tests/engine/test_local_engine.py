from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.engine import assembly, local_engine
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.engine.scheduling import request_queue
from starcoder_ls.errors import AdapterInvalid, EngineClosed, EngineError, EngineNotReady, OutOfMemory, PromptTooLong
from starcoder_ls.generation import Chunk, Engine, FinishReason, Phase, Priority, Request, Sampling, Status
from starcoder_ls.settings import Adapter, Model
from tape import Tape

Engines = Callable[..., LocalEngine]

TEXT = "def wrap(text, width=70):\n    return "


def build_request(text: str = TEXT, max_new_tokens: int = 16, **changes: Any) -> Request:
    return Request(parts=(text,), max_new_tokens=max_new_tokens, **changes)


def wait_for_phase(engine: LocalEngine, *phases: Phase, within_s: float = 300.0) -> Status:
    """The status once its phase is one of ``phases``."""
    end_s = time.monotonic() + within_s
    while engine.status().phase not in phases:
        assert time.monotonic() < end_s, f"still {engine.status()}"
        time.sleep(0.005)
    return engine.status()


@pytest.fixture
def engine(starcoder: Path, engines: Engines) -> LocalEngine:
    engine = engines(starcoder)
    assert wait_for_phase(engine, Phase.READY, Phase.FAILED).message == ""
    return engine


async def generate(engine: LocalEngine, request: Request) -> list[Chunk]:
    return [chunk async for chunk in engine.stream(request)]


def run(scenario: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, 300))


def ids(chunks: list[Chunk]) -> list[int]:
    return [id_ for chunk in chunks for id_ in chunk.token_ids]


class PassControl:
    """Counts the passes of the engine, and holds the engine's thread in a chosen one."""

    def __init__(self) -> None:
        self.count = 0
        self._hold_at: int | None = None
        self._is_held, self._may_run = threading.Event(), threading.Event()

    def begin_pass(self) -> None:
        self.count += 1
        if self.count == self._hold_at:
            self._is_held.set()
            assert self._may_run.wait(300)

    def hold_after(self, passes: int) -> None:
        """Hold the engine in the pass after so many more."""
        self._hold_at = self.count + passes + 1
        self._is_held.clear()
        self._may_run.clear()

    async def wait_until_held(self) -> None:
        assert await asyncio.to_thread(self._is_held.wait, 300)

    def resume(self) -> None:
        self._may_run.set()

    def resume_and_hold_after(self, passes: int) -> None:
        """Let the held pass run, and hold the engine again later."""
        released, self._may_run = self._may_run, threading.Event()
        self._hold_at = self.count + passes + 1
        self._is_held.clear()
        released.set()


@pytest.fixture
def no_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer takes as many passes as tokens."""
    from starcoder_ls.engine.generation.prompt_lookup import PromptLookup

    monkeypatch.setattr(PromptLookup, "propose", lambda *_: [])


@pytest.fixture
def passes(no_drafts: None, monkeypatch: pytest.MonkeyPatch) -> PassControl:
    """The passes of all engines, without drafts."""
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    del no_drafts
    control, exact = PassControl(), ModelRunner.run_batch

    def run_batch(runner: ModelRunner, forward_passes: Any, *rest: Any) -> Any:
        control.begin_pass()
        return exact(runner, forward_passes, *rest)

    monkeypatch.setattr(ModelRunner, "run_batch", run_batch)
    return control


async def wait_for_queued(engine: LocalEngine, count: int) -> None:
    """Until so many requests are in the queue."""
    while len(engine._queue._requests) < count:  # noqa: ASYNC110 - the queue has no event to wait for
        await asyncio.sleep(0.001)


def test_local_engine_is_an_engine() -> None:
    engine: Engine = LocalEngine(Model())
    assert engine.status().phase is Phase.LOADING
    engine.close()


def test_import_loads_no_heavy_library() -> None:
    script = (
        "import sys, starcoder_ls.engine.local_engine as r; from starcoder_ls.settings import Adapter, Model;"
        "r.LocalEngine(Model()); heavy = {'torch', 'transformers', 'peft', 'accelerate', 'tokenizers', 'pygls'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_loading_configures_openmp_before_torch_and_prints_nothing(starcoder: Path) -> None:
    """The number of threads is that of the settings while loading, and 1 between passes. PEFT, which no adapter needs
    here, is not imported; when it is, so are the quantization libraries that are installed, which print much then."""
    script = f"""
import os, sys, time
from starcoder_ls.engine import cpu_threads, local_engine
from starcoder_ls.settings import Adapter, Model
seen = []
prepare = cpu_threads.configure_openmp
def watched():
    prepare(); seen.append((os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules))
cpu_threads.configure_openmp = watched
count = cpu_threads.limit
def counted(threads):
    count(threads); seen.append(sys.modules["torch"].get_num_threads())
cpu_threads.limit = counted
engine = local_engine.LocalEngine(Model(name={str(starcoder)!r}, device="cpu", threads=2))
engine.start()
while engine.status().phase not in ("ready", "failed"): time.sleep(0.02)
engine.close()
print(seen, sorted({{"peft", "bitsandbytes"}} & sys.modules.keys()))
from starcoder_ls.engine.adapters import peft_compat
print(sorted({{"bitsandbytes", "torchao"}} & sys.modules.keys()))
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    installed = [name for name in ("bitsandbytes", "torchao") if importlib.util.find_spec(name)]
    assert (done.stdout, done.stderr) == (f"[('PASSIVE', False), 2, 1] []\n{installed}\n", "")


def test_interpreter_exit_waits_for_the_engine_thread() -> None:
    """The thread is still busy when ``close`` has given up waiting; stopped inside torch it would abort the process."""
    script = """
import threading
from starcoder_ls.engine import local_engine
from starcoder_ls.settings import Model
has_closed = threading.Event()
def release_memory():
    has_closed.wait()
    print("released")
local_engine.release_memory, local_engine.CLOSE_TIMEOUT_S = release_memory, 0.01
local_engine.LocalEngine._load = lambda _: None
engine = local_engine.LocalEngine(Model())
engine.start()
engine.close()
threading.Timer(0.2, has_closed.set).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "released\n", "")


def test_greedy_answer_equals_transformers_generate(engine: LocalEngine, starcoder: Path) -> None:
    chunks = run(generate(engine, build_request()))
    model = AutoModelForCausalLM.from_pretrained(starcoder, dtype=torch.float32)
    from starcoder_ls.text_tokens.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(starcoder)
    prompt = torch.tensor([tokenizer.encode([TEXT])])
    generated = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=16, do_sample=False)
    assert ids(chunks) == generated[0, prompt.shape[1] :].tolist()
    assert tokenizer.decode(ids(chunks)).startswith("".join(chunk.text for chunk in chunks))
    assert chunks[-1].finish_reason is FinishReason.LENGTH


def test_status_follows_loading_ready_working_and_closed(starcoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine(Model(name=str(starcoder), device="cpu", threads=1))
    seen: list[Status] = []
    threads: set[str] = set()
    unsubscribe = engine.subscribe(lambda status: (seen.append(status), threads.add(threading.current_thread().name)))  # type: ignore[func-returns-value]
    with pytest.raises(EngineNotReady, match="still loading"):
        run(generate(engine, build_request()))
    with pytest.raises(EngineNotReady):
        engine.count_tokens("x")
    engine.start()
    engine.start()
    ready = wait_for_phase(engine, Phase.READY)
    assert ready.memory_bytes > 100_000
    assert ready.special_tokens == set(checkpoints.STARCODER)
    monkeypatch.setattr(local_engine, "NOTIFY_WORKING_AFTER_S", 0.0)
    run(generate(engine, build_request()))
    after = wait_for_phase(engine, Phase.READY)
    assert after.memory_bytes > ready.memory_bytes, "the cache counts too"
    engine.close()
    wait_for_phase(engine, Phase.CLOSED)  # on a busy machine the thread ends after `close` has returned
    phases = [status.phase for status in seen]
    order = [phase for i, phase in enumerate(phases) if i == 0 or phases[i - 1] is not phase]
    assert order == [Phase.LOADING, Phase.READY, Phase.WORKING, Phase.READY, Phase.CLOSED]
    assert threads == {"starcoder-ls-engine"}
    unsubscribe()


@pytest.mark.usefixtures("no_drafts")
def test_listeners_are_notified_of_long_work_only(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    run(generate(engine, build_request(max_new_tokens=4)))  # from here on the cache has its size
    wait_for_phase(engine, Phase.READY)
    seen: list[Phase] = []
    engine.subscribe(lambda status: seen.append(status.phase))
    monkeypatch.setattr(local_engine, "NOTIFY_WORKING_AFTER_S", 3600.0)
    run(generate(engine, build_request(max_new_tokens=4)))
    wait_for_phase(engine, Phase.READY)
    assert seen == []
    monkeypatch.setattr(local_engine, "NOTIFY_WORKING_AFTER_S", 0.0)
    run(generate(engine, build_request(max_new_tokens=4)))
    assert seen[:1] == [Phase.WORKING]
    assert wait_for_phase(engine, Phase.READY)


def test_failing_listener_does_not_stop_the_engine(starcoder: Path) -> None:
    engine = LocalEngine(Model(name=str(starcoder), device="cpu", threads=1))
    engine.subscribe(lambda _status: 1 / 0)  # type: ignore[arg-type, return-value]
    engine.start()
    wait_for_phase(engine, Phase.READY)
    engine.close()


def test_failed_load_is_reported_by_every_method(tmp_path: Path, engines: Engines) -> None:
    engine = engines(tmp_path / "absent")
    status = wait_for_phase(engine, Phase.FAILED)
    assert status.message.startswith("There is no folder")
    with pytest.raises(EngineNotReady, match="There is no folder"):
        run(generate(engine, build_request()))
    with pytest.raises(EngineNotReady, match="There is no folder"):
        engine.count_tokens("x")
    engine.close()
    with pytest.raises(EngineClosed):
        run(generate(engine, build_request()))


def test_unexpected_error_while_loading_is_reported(
    starcoder: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "measure_chunk_tokens", lambda *_: 1 / 0)
    status = wait_for_phase(engines(starcoder), Phase.FAILED)
    assert "could not be loaded: division by zero" in status.message
    assert not status.needs_new_process


def test_failed_import_while_loading_needs_another_process(
    starcoder: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def import_missing(*_: object) -> None:
        import package_that_is_missing  # type: ignore[import-not-found]  # noqa: F401

    monkeypatch.setattr(assembly, "measure_chunk_tokens", import_missing)
    status = wait_for_phase(engines(starcoder), Phase.FAILED)
    assert "cannot be imported (ModuleNotFoundError: No module named 'package_that_is_missing')" in status.message
    assert status.needs_new_process


def test_weights_are_loaded_once(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    models = []
    exact = ModelRunner.run_batch
    monkeypatch.setattr(
        ModelRunner, "run_batch", lambda runner, *rest: (models.append(runner.model), exact(runner, *rest))[1]
    )

    async def many() -> list[list[int]]:
        addresses = []
        for i in range(60):
            await generate(engine, build_request(TEXT + "x" * (i % 7), 4))
            addresses.append([weight.data_ptr() for weight in models[-1].parameters()])
        return addresses

    addresses = run(many())
    assert all(now == addresses[0] for now in addresses)
    assert len({id(model) for model in models}) == 1


def test_memory_does_not_grow_with_requests(engine: LocalEngine) -> None:
    async def many(count: int) -> int:
        for i in range(count):
            await generate(engine, build_request(TEXT * (1 + i % 3) + "y" * (i % 5), 8))
        return wait_for_phase(engine, Phase.READY).memory_bytes

    first = run(many(12))
    assert run(many(36)) == first


def test_closed_iterator_ends_its_request_within_a_pass(engine: LocalEngine, passes: PassControl) -> None:
    async def scenario() -> None:
        passes.hold_after(40)
        async with aclosing(engine.stream(build_request(max_new_tokens=200))) as chunks:
            await anext(chunks)
            await passes.wait_until_held()
        passes.resume()

    run(scenario())
    wait_for_phase(engine, Phase.READY)
    assert passes.count == 41


def test_cancelled_task_ends_its_request_within_a_pass(engine: LocalEngine, passes: PassControl) -> None:
    async def scenario() -> None:
        passes.hold_after(10)
        task = asyncio.create_task(generate(engine, build_request(max_new_tokens=200)))
        await passes.wait_until_held()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        passes.resume()

    run(scenario())
    wait_for_phase(engine, Phase.READY)
    assert passes.count == 11


def test_cancel_flag_ends_a_request_with_its_finish_reason(engine: LocalEngine, passes: PassControl) -> None:
    flag = CancelFlag()

    async def scenario() -> list[Chunk]:
        passes.hold_after(10)
        task = asyncio.create_task(generate(engine, build_request(max_new_tokens=200, cancel=flag, candidates=2)))
        await passes.wait_until_held()
        flag.set()
        passes.resume()
        return await task

    chunks = run(scenario())
    assert [chunk.finish_reason for chunk in chunks[-2:]] == [FinishReason.CANCELLED, FinishReason.CANCELLED]
    assert chunks[-1].timings is not None
    assert passes.count == 11


def test_cancelled_queued_request_ends_before_the_running_one(engine: LocalEngine, passes: PassControl) -> None:
    flag = CancelFlag()

    async def scenario() -> list[Chunk]:
        passes.hold_after(10)
        running = asyncio.create_task(generate(engine, build_request(max_new_tokens=100)))
        await passes.wait_until_held()
        queued = asyncio.create_task(generate(engine, build_request("y", cancel=flag, priority=Priority.EXPLANATION)))
        await wait_for_queued(engine, 2)
        flag.set()
        passes.resume_and_hold_after(0)
        chunks = await queued
        assert not running.done()
        running.cancel()
        passes.resume()
        return chunks

    assert [chunk.finish_reason for chunk in run(scenario())] == [FinishReason.CANCELLED]


def test_deadline_ends_a_request_with_its_text_so_far(
    engine: LocalEngine, passes: PassControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> list[Chunk]:
        passes.hold_after(10)
        request = build_request(max_new_tokens=200, deadline_s=time.monotonic() + 3600)
        task = asyncio.create_task(generate(engine, request))
        await passes.wait_until_held()
        late_s = time.monotonic() + 3601
        monkeypatch.setattr(request_queue, "time", SimpleNamespace(monotonic=lambda: late_s))
        passes.resume()
        return await task

    chunks = run(scenario())
    assert chunks[-1].finish_reason is FinishReason.DEADLINE
    assert len(ids(chunks)) == 11
    assert passes.count == 11


@pytest.mark.parametrize("priority", [Priority.EXPLANATION, Priority.NEXT_EDIT])
def test_completion_overtakes_less_urgent_requests_between_two_tokens(
    engine: LocalEngine, passes: PassControl, priority: Priority
) -> None:
    alone = ids(run(generate(engine, build_request("explain " + TEXT, 150))))

    async def scenario() -> tuple[list[str], list[Chunk], list[Chunk]]:
        ended: list[str] = []

        async def named(name: str, request: Request) -> list[Chunk]:
            chunks = await generate(engine, request)
            ended.append(name)
            return chunks

        passes.hold_after(20)
        explanation = build_request("explain " + TEXT, 150, priority=priority)
        long = asyncio.create_task(named("explanation", explanation))
        await passes.wait_until_held()
        later = asyncio.create_task(named("second", build_request("b", 5)))
        prefill = asyncio.create_task(engine.prefill(build_request("c")))
        prefill.add_done_callback(lambda _: ended.append("prefill"))
        short = asyncio.create_task(named("first", build_request("a", 5)))
        await wait_for_queued(engine, 4)
        passes.resume()
        await asyncio.gather(long, short, later, prefill)
        return ended, await long, await short

    ended, long, short = run(scenario())
    assert set(ended[:2]) == {"first", "second"}, "they share their passes"
    assert ended[2:] == ["prefill", "explanation"]
    assert ids(long) == alone, "being overtaken changes nothing"
    assert len(ids(short)) == 5


def test_prefilled_prompt_has_one_token_left_to_read(engine: LocalEngine) -> None:
    async def scenario() -> list[Chunk]:
        await engine.prefill(build_request())
        return await generate(engine, build_request())

    timings = run(scenario())[-1].timings
    assert timings is not None
    assert timings.reused_tokens == timings.prompt_tokens - 1 > 0


def test_stop_rule_applies_to_every_candidate(engine: LocalEngine) -> None:
    request = build_request(
        candidates=3, sampling=Sampling(temperature=0.7), stop=lambda text: 4 if len(text) > 6 else None
    )
    chunks = run(generate(engine, request))
    texts = {chunk.candidate: chunk.text for chunk in chunks if chunk.finish_reason is not None}
    assert len(set(texts.values())) == len(texts) == 3
    assert all(len(text) == 4 for text in texts.values())


@pytest.mark.usefixtures("no_drafts")
def test_failure_ends_only_its_request(engine: LocalEngine) -> None:
    def broken(_text: str) -> int:
        raise ZeroDivisionError

    async def scenario() -> list[Any]:
        requests = (build_request(stop=broken), build_request("y"), build_request("z" * 4000))
        return await asyncio.gather(*(generate(engine, one) for one in requests), return_exceptions=True)

    failed, fine, too_long = run(scenario())
    assert type(failed) is EngineError
    assert "ZeroDivisionError" in str(failed)
    assert len(ids(fine)) == 16
    assert isinstance(too_long, PromptTooLong)


def test_tokens_are_selected_on_one_thread(engine: LocalEngine) -> None:
    seen: set[int] = set()

    def stop(_text: str) -> int | None:
        seen.add(torch.get_num_threads())
        return None

    run(generate(engine, build_request(stop=stop)))
    assert seen == {1}


def test_out_of_memory_ends_the_request_and_not_the_engine(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    before = ids(run(generate(engine, build_request())))
    used = wait_for_phase(engine, Phase.READY).memory_bytes

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(ModelRunner, "_compute", full)
        with pytest.raises(OutOfMemory, match="no room for this request"):
            run(generate(engine, build_request()))
    assert wait_for_phase(engine, Phase.READY).memory_bytes < used, "the caches are given back"
    assert ids(run(generate(engine, build_request()))) == before


def test_brief_out_of_memory_drops_caches_and_no_answer(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    before = ids(run(generate(engine, build_request())))
    exact, failures = ModelRunner._compute, [torch.OutOfMemoryError("CUDA out of memory")]

    def full_once(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return exact(*args)

    monkeypatch.setattr(ModelRunner, "_compute", full_once)
    assert ids(run(generate(engine, build_request()))) == before
    assert not failures


def test_device_failure_ends_the_engine_and_every_request(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    def broken(*_: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(ModelRunner, "_compute", broken)

    async def scenario() -> list[Any]:
        return await asyncio.gather(*(generate(engine, build_request(text)) for text in "ab"), return_exceptions=True)

    wait_for_phase(engine, Phase.READY)
    for ended in run(scenario()):
        assert isinstance(ended, EngineClosed | EngineNotReady)
        assert "ask once more" in str(ended).lower()
    failed = wait_for_phase(engine, Phase.FAILED)
    assert "The device has failed" in failed.message
    with pytest.raises(EngineNotReady, match="The device has failed"):
        run(generate(engine, build_request()))


@pytest.mark.parametrize("is_working", [True, False])
def test_close_ends_every_request(is_working: bool, engine: LocalEngine, passes: PassControl) -> None:
    async def scenario() -> list[Any]:
        passes.hold_after(10)
        tasks = [
            asyncio.create_task(generate(engine, build_request(max_new_tokens=200))) for _ in range(2 * is_working)
        ]
        if is_working:
            await passes.wait_until_held()
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        while not engine._is_closing.is_set():  # noqa: ASYNC110 - a threading.Event
            await asyncio.sleep(0.001)
        passes.resume()
        await closing
        return await asyncio.gather(*tasks, return_exceptions=True)

    for ended in run(scenario()):
        assert isinstance(ended, EngineClosed)
    assert passes.count <= 11
    wait_for_phase(engine, Phase.CLOSED)
    engine.close()
    with pytest.raises(EngineClosed):
        run(generate(engine, build_request()))
    with pytest.raises(EngineClosed):
        engine.count_tokens("x")
    assert engine._thread is not None
    engine._thread.join(300)
    assert not engine._thread.is_alive()


def test_close_while_loading_ends_the_load(starcoder: Path, engines: Engines) -> None:
    engine = engines(starcoder)
    engine.close()
    engine.start()
    wait_for_phase(engine, Phase.CLOSED)


def test_requests_from_several_event_loops_are_answered(engine: LocalEngine) -> None:
    expected = ids(run(generate(engine, build_request())))
    got: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: got.append(ids(run(generate(engine, build_request()))))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [expected] * 4


def adapter(base: Path, folder: Path, method: str = "parallel", seed: int = 1) -> Path:
    return adapter_fixtures.save_random_adapter(
        base, folder / f"{method}-{seed}", adapter_fixtures.create_peft_config(method), seed
    )


def test_adapter_changes_the_answer_and_is_in_the_status(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    folder = adapter(starcoder, tmp_path)
    engine = engines(starcoder, {"own": folder})
    status = wait_for_phase(engine, Phase.READY)
    (own,) = status.adapters
    assert (own.name, own.method, own.source) == ("own", "BOTTLENECK", str(folder))
    assert own.memory_bytes == 2 * 4 * 8 * (48 + 72)
    assert status.memory_bytes == wait_for_phase(engines(starcoder), Phase.READY).memory_bytes + own.memory_bytes
    assert ids(run(generate(engine, build_request(adapter="own")))) != ids(run(generate(engine, build_request())))


def test_unknown_adapter_is_refused_and_known_ones_named(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    engine = engines(starcoder, {"own": adapter(starcoder, tmp_path)})
    wait_for_phase(engine, Phase.READY)
    with pytest.raises(AdapterInvalid, match=r"No adapter other is loaded; loaded: own\."):
        run(generate(engine, build_request(adapter="other")))


def test_adapter_that_does_not_fit_is_left_out(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    engine = engines(starcoder, {"absent": tmp_path / "absent", "own": adapter(starcoder, tmp_path)})
    status = wait_for_phase(engine, Phase.READY, Phase.FAILED)
    assert status.phase is Phase.READY
    assert status.message.startswith("The adapter absent was left out. There is no adapter folder")
    assert [resident.name for resident in status.adapters] == ["own"]
    assert ids(run(generate(engine, build_request(adapter="own"))))


def test_attach_and_detach_do_not_affect_running_requests(
    starcoder: Path, tmp_path: Path, engine: LocalEngine, passes: PassControl
) -> None:
    """A request keeps an adapter that is replaced and detached meanwhile; later requests are refused."""
    first, second = (Adapter(path=str(adapter(starcoder, tmp_path, "parallel", seed))) for seed in (1, 2))

    async def scenario() -> None:
        attached = await engine.attach("own", first)
        assert attached == engine.status().adapters[0]
        alone = ids(await generate(engine, build_request(max_new_tokens=100, adapter="own")))
        base = ids(await generate(engine, build_request(max_new_tokens=100)))
        passes.hold_after(40)
        running = asyncio.create_task(generate(engine, build_request(max_new_tokens=100, adapter="own")))
        plain = asyncio.create_task(generate(engine, build_request(max_new_tokens=100)))
        await passes.wait_until_held()
        attaching = asyncio.create_task(engine.attach("own", second))
        await wait_for_queued(engine, 3)
        passes.resume_and_hold_after(0)
        await attaching
        other = asyncio.create_task(generate(engine, build_request(max_new_tokens=100, adapter="own")))
        await wait_for_queued(engine, 3)
        await passes.wait_until_held()
        detaching = asyncio.create_task(engine.detach("own"))
        await wait_for_queued(engine, 4)
        passes.resume_and_hold_after(0)
        await detaching
        await passes.wait_until_held()
        assert not running.done()
        assert engine.status().adapters == ()
        with pytest.raises(AdapterInvalid, match="No adapter own is loaded; loaded: none"):
            await generate(engine, build_request(adapter="own"))
        passes.resume()
        assert ids(await running) == alone
        assert ids(await plain) == base
        assert ids(await other) not in (alone, base)

    before = wait_for_phase(engine, Phase.READY).memory_bytes
    run(scenario())
    used = wait_for_phase(engine, Phase.READY).memory_bytes
    assert used < before + 400_000, "no slot of the adapters is left"
    with pytest.raises(AdapterInvalid, match="No adapter own"):
        run(engine.detach("own"))


def test_attach_explains_errors(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    fresh = LocalEngine(Model(name=str(starcoder), device="cpu", threads=1))
    with pytest.raises(EngineNotReady):
        run(fresh.attach("own", Adapter(path=str(tmp_path))))
    engine = engines(starcoder)
    wait_for_phase(engine, Phase.READY)
    for name in ("../up", "a.b", "", "x" * 65, "/root"):
        with pytest.raises(AdapterInvalid, match="is no name for an adapter"):
            run(engine.attach(name, Adapter(path=str(tmp_path))))
    with pytest.raises(AdapterInvalid, match=r"has no adapter_config\.json"):
        run(engine.attach("own", Adapter(path=str(tmp_path))))
    engine.close()
    with pytest.raises(EngineClosed):
        run(engine.attach("own", Adapter(path=str(tmp_path))))


def test_virtual_tokens_reduce_the_context(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    engine = engines(starcoder, {"own": adapter(starcoder, tmp_path, "ptuning")})
    status = wait_for_phase(engine, Phase.READY)
    assert status.adapters[0].virtual_tokens == adapter_fixtures.VIRTUAL_TOKENS
    text = "x " * 100
    room = status.context_tokens - engine.count_tokens(text)
    assert ids(run(generate(engine, build_request(text, room))))
    assert ids(run(generate(engine, build_request(text, room - adapter_fixtures.VIRTUAL_TOKENS, adapter="own"))))
    with pytest.raises(PromptTooLong, match="context of 251"):
        run(generate(engine, build_request(text, room - adapter_fixtures.VIRTUAL_TOKENS + 1, adapter="own")))


@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_packed_weights_support_every_adapter_method(
    method: str, starcoder: Path, tmp_path: Path, engines: Engines
) -> None:
    """``auto`` packs to float16 on x86; answers differ from float32's only where two tokens are about as likely."""
    folder = adapter(starcoder, tmp_path, method)
    answers = []
    for dtype in ("auto", "float32"):
        engine = engines(starcoder, {"own": folder}, dtype=dtype)
        wait_for_phase(engine, Phase.READY)
        answers.append([ids(run(generate(engine, build_request(adapter=name)))) for name in ("own", None)])
    (packed_own, packed_base), (own, base) = answers
    assert packed_own[:4] == own[:4]
    assert packed_base[:4] == base[:4]
    assert packed_own != packed_base


def test_engines_can_load_at_the_same_time(starcoder: Path, engines: Engines) -> None:
    """Like when the model setting is changed while the old model still loads."""
    several = [engines(starcoder) for _ in range(4)]
    assert [wait_for_phase(engine, Phase.READY, Phase.FAILED).message for engine in several] == [""] * 4
    assert len({tuple(ids(run(generate(engine, build_request())))) for engine in several}) == 1


def test_iterator_that_was_never_started_can_be_closed(engine: LocalEngine) -> None:
    async def scenario() -> None:
        chunks: AsyncGenerator[Chunk, None] = engine.stream(build_request())
        await chunks.aclose()

    run(scenario())
    assert engine.status().phase is Phase.READY


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> list[GraphRegistry]:
    """The graph registry of every engine, whose passes run like on a GPU; each capture takes 20 ms longer."""
    seen: list[GraphRegistry] = []
    load = assembly.load

    def slow(function: Callable[[], None]) -> Tape:
        time.sleep(0.02)
        return Tape(function)

    def loaded(*arguments: Any) -> Any:
        found = load(*arguments)
        manual_decoding.use_transformers_forward(found.runner)
        seen.append(GraphRegistry(found.runner.model, found.adapters, found.context_tokens, slow, lambda: 1 << 40))
        found.runner.graphs = seen[-1]
        return found

    monkeypatch.setattr(assembly, "load", loaded)
    return seen


def test_graphs_captured_while_idle_change_no_answer(
    starcoder: Path, engines: Engines, registries: list[GraphRegistry]
) -> None:
    engine = engines(starcoder, dtype="float32")
    wait_for_phase(engine, Phase.READY)
    before = engine.status().memory_bytes
    texts = (TEXT, TEXT[4:], TEXT * 3)
    first = [ids(run(generate(engine, build_request(text)))) for text in texts]
    (graphs,) = registries
    end_s = time.monotonic() + 300
    while not graphs.replay_costs():
        assert time.monotonic() < end_s
        time.sleep(0.01)
    for _ in range(3):
        assert [ids(run(generate(engine, build_request(text)))) for text in texts] == first
    assert graphs.statistics.replays > 0
    assert wait_for_phase(engine, Phase.READY).memory_bytes >= before + graphs.bytes


def test_engine_can_be_closed_while_it_captures(
    starcoder: Path, engines: Engines, registries: list[GraphRegistry]
) -> None:
    engine = engines(starcoder, dtype="float32")
    wait_for_phase(engine, Phase.READY)
    while not registries[0].statistics.capture_ms:
        time.sleep(0.001)
    engine.close()
    assert wait_for_phase(engine, Phase.CLOSED).phase is Phase.CLOSED


def test_heap_is_trimmed_in_pauses_between_requests(
    starcoder: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[bool] = []

    class Trimmer:
        def trim_if_due(self, stays_quiet: Callable[[float], bool]) -> None:
            pauses.append(stays_quiet(0.0))

    monkeypatch.setattr(local_engine, "HeapTrimmer", Trimmer)
    engine = engines(starcoder)
    wait_for_phase(engine, Phase.READY)
    run(generate(engine, build_request(max_new_tokens=4)))
    end_s = time.monotonic() + 300
    while not pauses[-1]:
        assert time.monotonic() < end_s
        time.sleep(0.001)
    assert False in pauses  # between two passes
