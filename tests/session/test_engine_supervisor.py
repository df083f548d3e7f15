from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from fakes import FakeClock, ManualEngine, ScriptedEngine
from harness import async_test, wait_until
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.generation import Phase, Status
from starcoder_ls.session.engine_state import EngineState
from starcoder_ls.session.engine_supervisor import (
    MAX_FAILED_RELOADS,
    MAX_RETRY_DELAY_S,
    RETRY_DELAY_S,
    STABLE_AFTER_S,
    EngineSupervisor,
)
from starcoder_ls.settings import Adapter, Model, Settings

MODEL_A, MODEL_B = Settings(model=Model(name="a")), Settings(model=Model(name="b"))


class Fixture:
    """A supervisor on a fake clock, and the engines it made."""

    def __init__(self, idle_timeout_s: float = 0.0) -> None:
        self.clock = FakeClock()
        self.engines: list[ManualEngine] = []
        self.error: Exception | None = None
        self.supervisor = EngineSupervisor(self._make, idle_timeout_s, self.clock)

    def _make(self, _: Settings) -> ManualEngine:
        if self.error is not None:
            raise self.error
        self.engines.append(ManualEngine())
        return self.engines[-1]

    @property
    def engine(self) -> ManualEngine:
        return self.engines[-1]

    def start_ready(self) -> ManualEngine:
        assert self.supervisor.start(MODEL_A)
        self.engine.become_ready()
        assert self.supervisor.ready_engine() is self.engine
        return self.engine


def test_start_returns_while_the_engine_is_still_being_made() -> None:
    may_return, has_started = threading.Event(), threading.Event()

    def engine_for(_: Settings) -> ManualEngine:
        has_started.set()
        may_return.wait()
        return ManualEngine()

    supervisor = EngineSupervisor(engine_for, clock=FakeClock(is_threaded=True))
    assert supervisor.start(MODEL_A)
    assert has_started.wait(300)
    assert supervisor.status() == Status(Phase.LOADING, "Starting.", model="a")
    assert supervisor.ready_engine() is None
    may_return.set()
    supervisor.close()


def test_start_accepts_the_same_model_again_and_rejects_another() -> None:
    fixture = Fixture()
    assert fixture.supervisor.start(MODEL_A)
    assert fixture.supervisor.start(MODEL_A.model_copy(update={"adapters": {"x": Adapter(path="y")}}))
    assert not fixture.supervisor.start(MODEL_B)
    assert len(fixture.engines) == 1
    assert fixture.engine.start_count == 1
    assert fixture.supervisor.model == MODEL_A.model


def test_engine_made_after_close_is_closed_without_being_started() -> None:
    clock, engine = FakeClock(), ManualEngine()
    threads: list[Callable[[], None]] = []
    clock.start_thread = lambda _, run: threads.append(run)  # type: ignore[method-assign]
    supervisor = EngineSupervisor(lambda _: engine, clock=clock)
    supervisor.start(MODEL_A)
    supervisor.close()
    supervisor.close()
    threads[0]()
    assert engine.status().phase is Phase.CLOSED
    assert engine.start_count == 0


def test_listener_gets_every_change_until_it_unsubscribes() -> None:
    fixture = Fixture()
    phases: list[Phase] = []
    unsubscribe = fixture.supervisor.subscribe(lambda status: phases.append(status.phase))
    fixture.supervisor.start(MODEL_A)
    fixture.engine.set_status(progress=0.5)
    fixture.engine.become_ready()
    assert phases == [Phase.LOADING, Phase.LOADING, Phase.READY]
    unsubscribe()
    unsubscribe()
    fixture.supervisor.close()
    assert len(phases) == 3


def test_listener_may_call_the_supervisor() -> None:
    fixture = Fixture()
    found: list[object] = []
    fixture.supervisor.subscribe(lambda _: found.append(fixture.supervisor.ready_engine()))
    fixture.supervisor.start(MODEL_A)
    fixture.engine.become_ready()
    assert found == [None, fixture.engine]


def test_idle_model_is_unloaded_and_the_next_request_loads_it() -> None:
    fixture = Fixture(idle_timeout_s=60.0)
    first = fixture.start_ready()
    fixture.clock.advance(59.0)
    assert fixture.supervisor.state is EngineState.READY
    fixture.clock.advance(1.0)
    assert fixture.supervisor.state is EngineState.ASLEEP
    assert first.status().phase is Phase.CLOSED
    status = fixture.supervisor.status()
    assert (status.phase, status.model) == (Phase.ASLEEP, "scripted")
    assert "next request" in status.message
    assert fixture.supervisor.ready_engine() is None
    assert fixture.supervisor.state is EngineState.LOADING
    fixture.engine.become_ready()
    assert fixture.supervisor.ready_engine() is fixture.engine is not first


def test_model_with_requests_is_not_unloaded() -> None:
    fixture = Fixture(idle_timeout_s=60.0)
    engine = fixture.start_ready()
    for _ in range(20):
        fixture.clock.advance(50.0)
        assert fixture.supervisor.ready_engine() is engine


def test_model_that_still_generates_is_not_unloaded() -> None:
    fixture = Fixture(idle_timeout_s=60.0)
    engine = fixture.start_ready()
    engine.set_status(phase=Phase.WORKING)
    fixture.clock.advance(600.0)
    assert fixture.supervisor.state is EngineState.READY
    engine.become_ready()
    fixture.clock.advance(15.0)
    assert fixture.supervisor.state is EngineState.ASLEEP


class HookedLock:
    """A lock that calls ``before_acquire`` once, before it is acquired for the first time."""

    def __init__(self, before_acquire: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._hooks = [before_acquire]

    def __enter__(self) -> None:
        if self._hooks:
            self._hooks.pop()()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_request_just_before_the_idle_check_locks_keeps_its_engine() -> None:
    """The idle check is running; before it gets the lock, a request gets the engine."""
    fixture = Fixture(idle_timeout_s=60.0)
    engine = fixture.start_ready()
    returned: list[object] = []
    lock = HookedLock(lambda: returned.append(fixture.supervisor.ready_engine()))
    ((_, idle_check),) = fixture.clock.timers
    fixture.clock.timers.clear()
    fixture.clock.advance(60.0)
    fixture.supervisor._lock = lock  # type: ignore[assignment]
    idle_check()
    assert returned == [engine]
    assert engine.status().phase is Phase.READY
    fixture.clock.advance(59.0)
    assert fixture.supervisor.state is EngineState.READY
    fixture.clock.advance(1.0)
    assert fixture.supervisor.state is EngineState.ASLEEP


def test_failed_engine_is_restarted_after_doubling_delays() -> None:
    fixture = Fixture()
    fixture.start_ready()
    delay_s = RETRY_DELAY_S
    for failures in range(1, 9):
        fixture.engine.fail()
        assert fixture.supervisor.ready_engine() is None
        assert fixture.supervisor.start(MODEL_A)  # a new client does not shorten the delay
        fixture.clock.advance(delay_s - 0.01)
        assert len(fixture.engines) == failures
        assert fixture.supervisor.status().message == "The engine stopped."
        fixture.clock.advance(0.01)
        assert len(fixture.engines) == failures + 1
        assert fixture.engines[-2].status().phase is Phase.CLOSED
        fixture.engine.become_ready()
        delay_s = min(2 * delay_s, MAX_RETRY_DELAY_S)
    assert delay_s == MAX_RETRY_DELAY_S


def test_engine_that_was_stable_is_restarted_after_the_first_delay() -> None:
    fixture = Fixture()
    for _ in range(3):
        fixture.start_ready() if not fixture.engines else fixture.engine.become_ready()
        fixture.clock.advance(STABLE_AFTER_S + 1)
        fixture.engine.fail()
        count = len(fixture.engines)
        fixture.clock.advance(RETRY_DELAY_S)
        assert len(fixture.engines) == count + 1


def test_model_that_never_loaded_is_retried_only_by_the_next_client() -> None:
    fixture = Fixture()
    fixture.supervisor.start(MODEL_A)
    for attempts in range(1, 6):
        fixture.engine.fail("No room.")
        assert fixture.supervisor.state is EngineState.FAILED
        assert fixture.supervisor.ready_engine() is None
        fixture.clock.advance(1000.0)
        assert len(fixture.engines) == attempts
        assert fixture.supervisor.start(MODEL_A)
        assert len(fixture.engines) == attempts + 1
    assert not fixture.supervisor.is_unrecoverable
    fixture.engine.become_ready()
    assert fixture.supervisor.ready_engine() is fixture.engine


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ModelInvalid("No weights."), "No weights."), (OSError("secret"), "The model cannot be started (OSError).")],
)
def test_engine_that_cannot_be_made_is_reported_and_retried(error: Exception, expected: str) -> None:
    fixture = Fixture()
    fixture.error = error
    fixture.supervisor.start(MODEL_A)
    assert fixture.supervisor.state is EngineState.FAILED
    status = fixture.supervisor.status()
    assert (status.phase, status.model) == (Phase.FAILED, "a")
    assert status.message.startswith(expected)
    assert "secret" not in status.message
    fixture.error = None
    fixture.start_ready()
    fixture.error = error
    fixture.engine.fail()
    fixture.clock.advance(RETRY_DELAY_S)
    assert fixture.supervisor.state is EngineState.REBUILDING
    fixture.error = None
    fixture.clock.advance(2 * RETRY_DELAY_S)
    fixture.engine.become_ready()
    assert fixture.supervisor.ready_engine() is fixture.engine


def test_supervisor_is_unrecoverable_until_a_reload_succeeds() -> None:
    fixture = Fixture()
    fixture.start_ready()
    fixture.engine.fail()
    for _ in range(MAX_FAILED_RELOADS):
        assert not fixture.supervisor.is_unrecoverable
        fixture.clock.advance(MAX_RETRY_DELAY_S)
        fixture.engine.fail("The device is gone.")
    assert fixture.supervisor.is_unrecoverable
    fixture.clock.advance(MAX_RETRY_DELAY_S)
    fixture.engine.become_ready()
    assert not fixture.supervisor.is_unrecoverable


def test_engine_that_cannot_be_imported_needs_another_process() -> None:
    fixture = Fixture()
    fixture.error = ImportError("libtorch.so is missing")
    fixture.supervisor.start(MODEL_A)
    assert fixture.supervisor.status().needs_new_process
    assert "(ImportError: libtorch.so is missing)" in fixture.supervisor.status().message
    fixture.error = ValueError()
    fixture.supervisor.start(MODEL_A)
    assert not fixture.supervisor.status().needs_new_process


def test_new_client_retries_a_failed_reload_at_once() -> None:
    fixture = Fixture()
    fixture.start_ready().fail()
    fixture.clock.advance(RETRY_DELAY_S)
    fixture.engine.fail("No room.")
    count = len(fixture.engines)
    assert fixture.supervisor.start(MODEL_A)
    assert len(fixture.engines) == count + 1
    fixture.engine.become_ready()
    fixture.clock.advance(MAX_RETRY_DELAY_S)
    assert len(fixture.engines) == count + 1


def test_unloaded_model_that_fails_to_reload_is_retried() -> None:
    fixture = Fixture(idle_timeout_s=60.0)
    fixture.start_ready()
    fixture.clock.advance(60.0)
    fixture.supervisor.ready_engine()
    fixture.engine.fail("No room.")
    assert fixture.supervisor.state is EngineState.REBUILDING
    fixture.clock.advance(RETRY_DELAY_S)
    fixture.engine.become_ready()
    assert fixture.supervisor.ready_engine() is fixture.engine


def test_closed_supervisor_starts_nothing_more() -> None:
    fixture = Fixture(idle_timeout_s=60.0)
    fixture.start_ready().fail()
    fixture.supervisor.close()
    fixture.clock.advance(1000.0)
    assert fixture.supervisor.start(MODEL_A)
    assert len(fixture.engines) == 1
    assert fixture.supervisor.state is EngineState.CLOSED


@async_test
async def test_wait_until_ready_returns_the_engine_once_it_is_ready() -> None:
    fixture = Fixture()
    fixture.supervisor.start(MODEL_A)
    assert await fixture.supervisor.wait_until_ready(0.0) is None
    waiting = asyncio.create_task(fixture.supervisor.wait_until_ready(20.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(fixture.engine.become_ready)
    assert await waiting is fixture.engine


@async_test
async def test_wait_until_ready_returns_none_after_a_failure_or_the_timeout() -> None:
    fixture = Fixture()
    assert await fixture.supervisor.wait_until_ready(0.01) is None
    fixture.supervisor.start(MODEL_A)
    waiting = asyncio.create_task(fixture.supervisor.wait_until_ready(20.0))
    await asyncio.sleep(0)
    fixture.engine.fail()
    assert await waiting is None


@async_test
async def test_supervisor_runs_an_engine_on_the_system_clock() -> None:
    supervisor = EngineSupervisor(lambda _: ScriptedEngine())
    supervisor.start(MODEL_A)
    await wait_until(lambda: supervisor.ready_engine() is not None)
    await asyncio.to_thread(supervisor.close)
    assert supervisor.state is EngineState.CLOSED
