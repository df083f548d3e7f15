from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import adapters as made
import checkpoints
import manual_decoding
from starcoder_ls.engine import assembly, local_engine
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.errors import AdapterInvalid, EngineClosed, EngineError, EngineNotReady, OutOfMemory, PromptTooLong
from starcoder_ls.generation import CancelFlag, Chunk, Engine, FinishReason, Phase, Priority, Request, Sampling, Status
from starcoder_ls.settings import Adapter, Model
from tape import Tape

Engines = Callable[..., LocalEngine]

TEXT = "def wrap(text, width=70):\n    return "


def asked(text: str = TEXT, max_new_tokens: int = 16, **changes: Any) -> Request:
    return Request(parts=(text,), max_new_tokens=max_new_tokens, **changes)


def reached(engine: LocalEngine, *phases: Phase, within_s: float = 30.0) -> Status:
    """The status once its phase is one of ``phases``."""
    end_s = time.monotonic() + within_s
    while engine.status().phase not in phases:
        assert time.monotonic() < end_s, f"still {engine.status()}"
        time.sleep(0.005)
    return engine.status()


@pytest.fixture
def engine(starcoder: Path, engines: Engines) -> LocalEngine:
    engine = engines(starcoder)
    assert reached(engine, Phase.READY, Phase.FAILED).message == ""
    return engine


async def answer(engine: LocalEngine, request: Request) -> list[Chunk]:
    return [chunk async for chunk in engine.stream(request)]


def run(scenario: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(scenario, 30))


def ids(chunks: list[Chunk]) -> list[int]:
    return [id_ for chunk in chunks for id_ in chunk.token_ids]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """When a forward pass began, and how many tokens it read; each takes 10 ms, so that there is a between.

    No drafts, so that an answer takes as many passes as tokens.
    """
    from starcoder_ls.engine.generation.prompt_lookup import PromptLookup
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    seen: list[tuple[float, int]] = []
    exact = ModelRunner.run_batch

    def slow(runner: ModelRunner, forward_passes: Any, adapter: Any = None) -> Any:
        seen.append((time.monotonic(), sum(forward_pass.tokens for forward_pass in forward_passes)))
        time.sleep(0.01)
        return exact(runner, forward_passes, adapter)

    monkeypatch.setattr(ModelRunner, "run_batch", slow)
    monkeypatch.setattr(PromptLookup, "propose", lambda *_: [])
    return seen


def test_it_is_an_engine() -> None:
    engine: Engine = LocalEngine(Model())
    assert engine.status().phase is Phase.LOADING
    engine.close()


def test_importing_it_is_cheap() -> None:
    script = (
        "import sys, starcoder_ls.engine.local_engine as r; from starcoder_ls.settings import Adapter, Model;"
        "r.LocalEngine(Model()); heavy = {'torch', 'transformers', 'peft', 'accelerate', 'tokenizers', 'pygls'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_waiting_threads_sleep(starcoder: Path) -> None:
    """OMP_WAIT_POLICY must be in place before torch is imported, and the thread count is the settings'."""
    script = f"""
import os, sys, time
from starcoder_ls.engine import local_engine
from starcoder_ls.settings import Adapter, Model
seen = []
prepare = local_engine._configure_openmp
def watched():
    prepare(); seen.append((os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules))
local_engine._configure_openmp = watched
count = local_engine._set_threads
def counted(wanted):
    count(wanted); seen.append(sys.modules["torch"].get_num_threads())
local_engine._set_threads = counted
engine = local_engine.LocalEngine(Model(name={str(starcoder)!r}, device="cpu", threads=2))
engine.start()
while engine.status().phase not in ("ready", "failed"): time.sleep(0.02)
engine.close()
print(seen)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[('PASSIVE', False), 2, 1]", done.stderr


def test_greedy_answer_is_transformers_own(engine: LocalEngine, starcoder: Path) -> None:
    chunks = run(answer(engine, asked()))
    model = AutoModelForCausalLM.from_pretrained(starcoder, dtype=torch.float32)
    from starcoder_ls.text_tokens.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(starcoder)
    prompt = torch.tensor([tokenizer.encode([TEXT])])
    made = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=16, do_sample=False)
    assert ids(chunks) == made[0, prompt.shape[1] :].tolist()
    assert tokenizer.decode(ids(chunks)).startswith("".join(chunk.text for chunk in chunks))
    assert chunks[-1].finish_reason is FinishReason.LENGTH


def test_status_tells_the_life(starcoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine(Model(name=str(starcoder), device="cpu", threads=1))
    seen: list[Status] = []
    threads: set[str] = set()
    unsubscribe = engine.subscribe(lambda status: (seen.append(status), threads.add(threading.current_thread().name)))  # type: ignore[func-returns-value]
    with pytest.raises(EngineNotReady, match="still loading"):
        run(answer(engine, asked()))
    with pytest.raises(EngineNotReady):
        engine.count_tokens("x")
    engine.start()
    engine.start()
    ready = reached(engine, Phase.READY)
    assert ready.memory_bytes > 100_000
    assert ready.special_tokens == set(checkpoints.STARCODER)
    monkeypatch.setattr(local_engine, "NOTIFY_WORKING_AFTER_S", 0.0)
    run(answer(engine, asked()))
    after = reached(engine, Phase.READY)
    assert after.memory_bytes > ready.memory_bytes, "the cache counts too"
    engine.close()
    phases = [status.phase for status in seen]
    order = [phase for i, phase in enumerate(phases) if i == 0 or phases[i - 1] is not phase]
    assert order == [Phase.LOADING, Phase.READY, Phase.WORKING, Phase.READY, Phase.CLOSED]
    assert threads == {"starcoder-ls-engine"}
    unsubscribe()


def test_short_work_wakes_no_listener_and_long_work_does(engine: LocalEngine, passes: list[tuple[float, int]]) -> None:
    run(answer(engine, asked(max_new_tokens=1)))  # from here on the cache has its size
    reached(engine, Phase.READY)
    seen: list[Phase] = []
    engine.subscribe(lambda status: seen.append(status.phase))
    run(answer(engine, asked(max_new_tokens=1)))
    reached(engine, Phase.READY)
    assert seen == []
    run(answer(engine, asked(max_new_tokens=16)))
    assert seen[:1] == [Phase.WORKING]
    assert reached(engine, Phase.READY)
    assert len(passes) >= 16


def test_failing_listener_harms_nobody(starcoder: Path) -> None:
    engine = LocalEngine(Model(name=str(starcoder), device="cpu", threads=1))
    engine.subscribe(lambda _status: 1 / 0)  # type: ignore[arg-type, return-value]
    engine.start()
    reached(engine, Phase.READY)
    engine.close()


def test_failed_load_is_one_sentence_for_everyone(tmp_path: Path, engines: Engines) -> None:
    engine = engines(tmp_path / "absent")
    status = reached(engine, Phase.FAILED)
    assert status.message.startswith("There is no folder")
    with pytest.raises(EngineNotReady, match="There is no folder"):
        run(answer(engine, asked()))
    with pytest.raises(EngineNotReady, match="There is no folder"):
        engine.count_tokens("x")
    engine.close()
    with pytest.raises(EngineClosed):
        run(answer(engine, asked()))


def test_load_that_breaks_unexpectedly_is_a_failure_too(
    starcoder: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "measure_chunk_tokens", lambda *_: 1 / 0)
    assert "could not be loaded: division by zero" in reached(engines(starcoder), Phase.FAILED).message


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
            await answer(engine, asked(TEXT + "x" * (i % 7), 4))
            addresses.append([weight.data_ptr() for weight in models[-1].parameters()])
        return addresses

    addresses = run(many())
    assert all(now == addresses[0] for now in addresses)
    assert len({id(model) for model in models}) == 1


def test_memory_does_not_grow_with_requests(engine: LocalEngine) -> None:
    async def many(count: int) -> int:
        for i in range(count):
            await answer(engine, asked(TEXT * (1 + i % 3) + "y" * (i % 5), 8))
        return reached(engine, Phase.READY).memory_bytes

    first = run(many(12))
    assert run(many(36)) == first


def test_closing_the_iterator_frees_the_engine_within_a_step(
    engine: LocalEngine, passes: list[tuple[float, int]]
) -> None:
    async def scenario() -> float:
        async with aclosing(engine.stream(asked(max_new_tokens=200))) as chunks:
            async for _ in chunks:
                if len(passes) > 5:
                    break
        return time.monotonic()

    closed_s = run(scenario())
    reached(engine, Phase.READY)
    assert sum(began_s > closed_s for began_s, _ in passes) <= 1


def test_cancelled_task_frees_the_engine_within_a_step(engine: LocalEngine, passes: list[tuple[float, int]]) -> None:
    async def scenario() -> float:
        task = asyncio.create_task(answer(engine, asked(max_new_tokens=200)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic()

    cancelled_s = run(scenario())
    reached(engine, Phase.READY)
    assert len(passes) > 2
    assert sum(began_s > cancelled_s for began_s, _ in passes) <= 1


@pytest.mark.usefixtures("passes")
def test_flag_ends_a_request_and_its_waiter_hears_of_it(engine: LocalEngine) -> None:
    flag = CancelFlag()

    async def scenario() -> list[Chunk]:
        asyncio.get_running_loop().call_later(0.1, flag.set)
        return await answer(engine, asked(max_new_tokens=200, cancel=flag, candidates=2))

    chunks = run(scenario())
    assert [chunk.finish_reason for chunk in chunks[-2:]] == [FinishReason.CANCELLED, FinishReason.CANCELLED]
    assert chunks[-1].timings is not None


@pytest.mark.usefixtures("passes")
def test_a_queued_request_hears_of_its_cancel_at_once(engine: LocalEngine) -> None:
    flag = CancelFlag()

    async def scenario() -> tuple[float, list[Chunk]]:
        running = asyncio.create_task(answer(engine, asked(max_new_tokens=100)))
        queued = asyncio.create_task(answer(engine, asked("y", cancel=flag, priority=Priority.EXPLANATION)))
        await asyncio.sleep(0.1)
        flag.set()
        started_s = time.monotonic()
        chunks = await queued
        waited_s = time.monotonic() - started_s
        assert not running.done()
        running.cancel()
        return waited_s, chunks

    waited_s, chunks = run(scenario())
    assert [chunk.finish_reason for chunk in chunks] == [FinishReason.CANCELLED]
    assert waited_s < 0.5


@pytest.mark.usefixtures("passes")
def test_deadline_ends_with_what_there_is(engine: LocalEngine) -> None:
    started_s = time.monotonic()
    chunks = run(answer(engine, asked(max_new_tokens=200, deadline_s=started_s + 0.2)))
    assert chunks[-1].finish_reason is FinishReason.DEADLINE
    assert 0 < len(ids(chunks)) < 60
    assert time.monotonic() - started_s < 1.0


def test_completion_overtakes_an_explanation_between_two_tokens(
    engine: LocalEngine, passes: list[tuple[float, int]]
) -> None:
    alone = ids(run(answer(engine, asked("explain " + TEXT, 150))))
    passes.clear()

    async def scenario() -> tuple[list[str], list[Chunk], list[Chunk]]:
        ended: list[str] = []

        async def named(name: str, request: Request) -> list[Chunk]:
            chunks = await answer(engine, request)
            ended.append(name)
            return chunks

        long = asyncio.create_task(named("explanation", asked("explain " + TEXT, 150, priority=Priority.EXPLANATION)))
        await asyncio.sleep(0.15)
        later = asyncio.create_task(named("second", asked("b", 5)))
        prefill = asyncio.create_task(engine.prefill(asked("c")))
        prefill.add_done_callback(lambda _: ended.append("prefill"))
        short = asyncio.create_task(named("first", asked("a", 5)))
        await asyncio.gather(long, short, later, prefill)
        return ended, await long, await short

    ended, long, short = run(scenario())
    assert set(ended[:2]) == {"first", "second"}, "they share their passes"
    assert ended[2:] == ["prefill", "explanation"]
    assert ids(long) == alone, "being overtaken changes nothing"
    assert len(ids(short)) == 5


def test_prefilled_prompt_has_one_token_left_to_read(engine: LocalEngine) -> None:
    async def scenario() -> list[Chunk]:
        await engine.prefill(asked())
        return await answer(engine, asked())

    timings = run(scenario())[-1].timings
    assert timings is not None
    assert timings.reused_tokens == timings.prompt_tokens - 1 > 0


def test_stop_rule_and_candidates_through_the_whole_engine(engine: LocalEngine) -> None:
    wanted = asked(candidates=3, sampling=Sampling(temperature=0.7), stop=lambda text: 4 if len(text) > 6 else None)
    chunks = run(answer(engine, wanted))
    texts = {chunk.candidate: chunk.text for chunk in chunks if chunk.finish_reason is not None}
    assert len(set(texts.values())) == len(texts) == 3
    assert all(len(text) == 4 for text in texts.values())


@pytest.mark.usefixtures("passes")
def test_a_failure_ends_its_own_request_only(engine: LocalEngine) -> None:
    def broken(_text: str) -> int:
        raise ZeroDivisionError

    async def scenario() -> list[Any]:
        requests = (asked(stop=broken), asked("y"), asked("z" * 4000))
        return await asyncio.gather(*(answer(engine, one) for one in requests), return_exceptions=True)

    failed, fine, too_long = run(scenario())
    assert type(failed) is EngineError
    assert "ZeroDivisionError" in str(failed)
    assert len(ids(fine)) == 16
    assert isinstance(too_long, PromptTooLong)


def test_tokens_are_chosen_on_one_thread(engine: LocalEngine) -> None:
    seen: set[int] = set()

    def stop(_text: str) -> int | None:
        seen.add(torch.get_num_threads())
        return None

    run(answer(engine, asked(stop=stop)))
    assert seen == {1}


def test_out_of_memory_ends_the_request_and_the_engine_lives(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    before = ids(run(answer(engine, asked())))
    used = reached(engine, Phase.READY).memory_bytes

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(ModelRunner, "_compute", full)
        with pytest.raises(OutOfMemory, match="no room for this request"):
            run(answer(engine, asked()))
    assert reached(engine, Phase.READY).memory_bytes < used, "the caches are given back"
    assert ids(run(answer(engine, asked()))) == before


def test_no_room_for_a_moment_costs_the_caches_and_no_answer(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    before = ids(run(answer(engine, asked())))
    exact, failures = ModelRunner._compute, [torch.OutOfMemoryError("CUDA out of memory")]

    def full_once(*args: Any) -> Any:
        if failures:
            raise failures.pop()
        return exact(*args)

    monkeypatch.setattr(ModelRunner, "_compute", full_once)
    assert ids(run(answer(engine, asked()))) == before
    assert not failures


def test_a_device_that_fails_ends_the_engine_with_a_sentence_and_every_request_with_an_error(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starcoder_ls.engine.runner.model_runner import ModelRunner

    def broken(*_: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(ModelRunner, "_compute", broken)

    async def scenario() -> list[Any]:
        return await asyncio.gather(*(answer(engine, asked(text)) for text in "ab"), return_exceptions=True)

    reached(engine, Phase.READY)
    for ended in run(scenario()):
        assert isinstance(ended, EngineClosed | EngineNotReady)
        assert "ask once more" in str(ended).lower()
    failed = reached(engine, Phase.FAILED)
    assert "The device has failed" in failed.message
    with pytest.raises(EngineNotReady, match="The device has failed"):
        run(answer(engine, asked()))


@pytest.mark.usefixtures("passes")
@pytest.mark.parametrize("is_working", [True, False])
def test_closing_is_quick_and_ends_every_request(is_working: bool, engine: LocalEngine) -> None:
    async def scenario() -> list[Any]:
        tasks = [asyncio.create_task(answer(engine, asked(max_new_tokens=200))) for _ in range(2 * is_working)]
        await asyncio.sleep(0.1)
        started_s = time.monotonic()
        await asyncio.to_thread(engine.close)
        assert time.monotonic() - started_s < 1.0
        return await asyncio.gather(*tasks, return_exceptions=True)

    for ended in run(scenario()):
        assert isinstance(ended, EngineClosed)
    assert engine.status().phase is Phase.CLOSED
    engine.close()
    with pytest.raises(EngineClosed):
        run(answer(engine, asked()))
    with pytest.raises(EngineClosed):
        engine.count_tokens("x")
    assert not any(thread.name == "starcoder-ls-engine" for thread in threading.enumerate())


def test_closing_while_it_loads_ends_the_load(starcoder: Path, engines: Engines) -> None:
    engine = engines(starcoder)
    engine.close()
    engine.start()
    reached(engine, Phase.CLOSED)


def test_requests_from_several_loops_are_served(engine: LocalEngine) -> None:
    expected = ids(run(answer(engine, asked())))
    got: list[list[int]] = []
    threads = [threading.Thread(target=lambda: got.append(ids(run(answer(engine, asked()))))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [expected] * 4


def adapter(base: Path, folder: Path, method: str = "parallel", seed: int = 1) -> Path:
    return made.trained(base, folder / f"{method}-{seed}", made.config_of(method), seed)


def test_adapter_changes_the_answer_and_status_describes_it(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    folder = adapter(starcoder, tmp_path)
    engine = engines(starcoder, {"own": folder})
    status = reached(engine, Phase.READY)
    (held,) = status.adapters
    assert (held.name, held.method, held.source) == ("own", "BOTTLENECK", str(folder))
    assert held.memory_bytes == 2 * 4 * 8 * (48 + 72)
    assert status.memory_bytes == reached(engines(starcoder), Phase.READY).memory_bytes + held.memory_bytes
    assert ids(run(answer(engine, asked(adapter="own")))) != ids(run(answer(engine, asked())))


def test_unknown_adapter_is_refused_with_those_there_are(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    engine = engines(starcoder, {"own": adapter(starcoder, tmp_path)})
    reached(engine, Phase.READY)
    with pytest.raises(AdapterInvalid, match=r"No adapter other is loaded; there is own\."):
        run(answer(engine, asked(adapter="other")))


def test_an_adapter_that_does_not_fit_leaves_the_model_and_the_others(
    starcoder: Path, tmp_path: Path, engines: Engines
) -> None:
    engine = engines(starcoder, {"absent": tmp_path / "absent", "own": adapter(starcoder, tmp_path)})
    status = reached(engine, Phase.READY, Phase.FAILED)
    assert status.phase is Phase.READY
    assert status.message.startswith("The adapter absent was left out. There is no adapter folder")
    assert [held.name for held in status.adapters] == ["own"]
    assert ids(run(answer(engine, asked(adapter="own"))))


@pytest.mark.usefixtures("passes")
def test_attaching_and_detaching_disturb_no_running_request(
    starcoder: Path, tmp_path: Path, engine: LocalEngine
) -> None:
    """Replaced and detached while it answers, an adapter answers to the end as if alone; later requests see it gone."""
    first, second = (Adapter(path=str(adapter(starcoder, tmp_path, "parallel", seed))) for seed in (1, 2))

    async def scenario() -> None:
        attached = await engine.attach("own", first)
        assert attached == engine.status().adapters[0]
        alone = ids(await answer(engine, asked(max_new_tokens=100, adapter="own")))
        base = ids(await answer(engine, asked(max_new_tokens=100)))
        running = asyncio.create_task(answer(engine, asked(max_new_tokens=100, adapter="own")))
        plain = asyncio.create_task(answer(engine, asked(max_new_tokens=100)))
        await asyncio.sleep(0.1)
        await engine.attach("own", second)
        other = asyncio.create_task(answer(engine, asked(max_new_tokens=100, adapter="own")))
        await asyncio.sleep(0.05)
        assert not running.done()
        await engine.detach("own")
        assert engine.status().adapters == ()
        with pytest.raises(AdapterInvalid, match="No adapter own is loaded; there is none"):
            await answer(engine, asked(adapter="own"))
        assert ids(await running) == alone
        assert ids(await plain) == base
        assert ids(await other) not in (alone, base)

    before = reached(engine, Phase.READY).memory_bytes
    run(scenario())
    used = reached(engine, Phase.READY).memory_bytes
    assert used < before + 400_000, "no slot of the adapters is left"
    with pytest.raises(AdapterInvalid, match="No adapter own"):
        run(engine.detach("own"))


def test_attaching_says_what_is_wrong(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    fresh = LocalEngine(Model(name=str(starcoder), device="cpu", threads=1))
    with pytest.raises(EngineNotReady):
        run(fresh.attach("own", Adapter(path=str(tmp_path))))
    engine = engines(starcoder)
    reached(engine, Phase.READY)
    for name in ("../up", "a.b", "", "x" * 65, "/root"):
        with pytest.raises(AdapterInvalid, match="is no name for an adapter"):
            run(engine.attach(name, Adapter(path=str(tmp_path))))
    with pytest.raises(AdapterInvalid, match=r"has no adapter_config\.json"):
        run(engine.attach("own", Adapter(path=str(tmp_path))))
    engine.close()
    with pytest.raises(EngineClosed):
        run(engine.attach("own", Adapter(path=str(tmp_path))))


def test_virtual_tokens_leave_less_of_the_context(starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    engine = engines(starcoder, {"own": adapter(starcoder, tmp_path, "ptuning")})
    status = reached(engine, Phase.READY)
    assert status.adapters[0].virtual_tokens == made.VIRTUAL_TOKENS
    text = "x " * 100
    room = status.context_tokens - engine.count_tokens(text)
    assert ids(run(answer(engine, asked(text, room))))
    assert ids(run(answer(engine, asked(text, room - made.VIRTUAL_TOKENS, adapter="own"))))
    with pytest.raises(PromptTooLong, match="context of 251"):
        run(answer(engine, asked(text, room - made.VIRTUAL_TOKENS + 1, adapter="own")))


@pytest.mark.parametrize("method", made.METHODS)
def test_packed_weights_take_every_method(method: str, starcoder: Path, tmp_path: Path, engines: Engines) -> None:
    """``auto`` packs to float16 on x86; answers part from float32's only where two tokens are nearly as likely."""
    folder = adapter(starcoder, tmp_path, method)
    answers = []
    for dtype in ("auto", "float32"):
        engine = engines(starcoder, {"own": folder}, dtype=dtype)
        reached(engine, Phase.READY)
        answers.append([ids(run(answer(engine, asked(adapter=name)))) for name in ("own", None)])
    (packed_own, packed_base), (own, base) = answers
    assert packed_own[:4] == own[:4]
    assert packed_base[:4] == base[:4]
    assert packed_own != packed_base


def test_engines_that_load_at_the_same_time_do_not_disturb_each_other(starcoder: Path, engines: Engines) -> None:
    """As when the model setting is changed while the old one still loads."""
    several = [engines(starcoder) for _ in range(4)]
    assert [reached(engine, Phase.READY, Phase.FAILED).message for engine in several] == [""] * 4
    assert len({tuple(ids(run(answer(engine, asked())))) for engine in several}) == 1


def test_iterator_that_was_never_begun_costs_nothing(engine: LocalEngine) -> None:
    async def scenario() -> None:
        chunks: AsyncGenerator[Chunk, None] = engine.stream(asked())
        await chunks.aclose()

    run(scenario())
    assert engine.status().phase is Phase.READY


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[GraphRegistry]:
    """The graphs of every load, of a CPU's model that is read as a GPU's is; each takes 20 ms more to record."""
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


def test_passes_are_recorded_while_nobody_asks_and_answers_stay_what_they_were(
    starcoder: Path, engines: Engines, recorded: list[GraphRegistry]
) -> None:
    engine = engines(starcoder, dtype="float32")
    reached(engine, Phase.READY)
    before = engine.status().memory_bytes
    texts = (TEXT, TEXT[4:], TEXT * 3)
    first = [ids(run(answer(engine, asked(text)))) for text in texts]
    (graphs,) = recorded
    end_s = time.monotonic() + 30
    while not graphs.replay_costs():
        assert time.monotonic() < end_s
        time.sleep(0.01)
    for _ in range(3):
        assert [ids(run(answer(engine, asked(text)))) for text in texts] == first
    assert graphs.statistics.replays > 0
    assert reached(engine, Phase.READY).memory_bytes >= before + graphs.bytes


def test_an_engine_can_be_closed_while_it_records(
    starcoder: Path, engines: Engines, recorded: list[GraphRegistry]
) -> None:
    engine = engines(starcoder, dtype="float32")
    reached(engine, Phase.READY)
    while not recorded[0].statistics.capture_ms:
        time.sleep(0.001)
    engine.close()
    assert reached(engine, Phase.CLOSED).phase is Phase.CLOSED
