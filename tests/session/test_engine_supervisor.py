from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from fakes import ScriptedEngine
from harness import async_test
from starcoder_ls.generation import Phase, Status
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.settings import Adapter, Model, Settings


def test_choosing_returns_at_once_however_long_making_the_engine_takes() -> None:
    may_go_on = threading.Event()

    def engine_for(_: Settings) -> ScriptedEngine:
        may_go_on.wait(10)
        return ScriptedEngine()

    shared = EngineSupervisor(engine_for)
    begin = time.monotonic()
    assert shared.choose(Settings(model=Model(name="a")))
    assert time.monotonic() - begin < 0.5
    assert shared.status() == Status(Phase.LOADING, "Starting.", model="a")
    assert shared.ready is None
    may_go_on.set()
    _wait_until_ready(shared)
    shared.close()


def test_the_same_model_again_is_welcome_and_another_is_not() -> None:
    engines: list[ScriptedEngine] = []

    def engine_for(_: Settings) -> ScriptedEngine:
        engines.append(ScriptedEngine())
        return engines[-1]

    shared = EngineSupervisor(engine_for)
    assert shared.choose(Settings(model=Model(name="a")))
    assert shared.choose(Settings(model=Model(name="a"), adapters={"x": Adapter(path="y")}))
    assert not shared.choose(Settings(model=Model(name="b")))
    _wait_until_ready(shared)
    assert len(engines) == 1
    assert engines[0].start_count == 1
    shared.close()
    shared.close()


def test_an_engine_made_after_the_end_is_closed_and_not_started() -> None:
    may_go_on = threading.Event()
    closed = threading.Event()

    class Late(ScriptedEngine):
        def close(self) -> None:
            super().close()
            closed.set()

    late = Late()

    def engine_for(_: Settings) -> ScriptedEngine:
        may_go_on.wait(10)
        return late

    shared = EngineSupervisor(engine_for)
    shared.choose(Settings())
    shared.close()
    may_go_on.set()
    assert closed.wait(5)
    assert late.start_count == 0


def test_a_listener_hears_every_change_until_it_unsubscribes() -> None:
    shared = EngineSupervisor(lambda _: ScriptedEngine(load_steps=2))
    heard: list[Phase] = []
    unsubscribe = shared.subscribe(lambda status: heard.append(status.phase))
    shared.choose(Settings())
    _wait_until_ready(shared)
    limit = time.monotonic() + 5
    while Phase.READY not in heard and time.monotonic() < limit:
        time.sleep(0.005)
    assert Phase.LOADING in heard
    assert Phase.READY in heard
    unsubscribe()
    unsubscribe()
    count = len(heard)
    shared.close()
    assert len(heard) == count


class Made:
    """Engines as they are made."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.engines: list[ScriptedEngine] = []

    def __call__(self, _: Settings) -> ScriptedEngine:
        self.engines.append(ScriptedEngine(**self.options))
        return self.engines[-1]


def test_a_model_that_nobody_asks_is_put_away_and_comes_back_when_asked() -> None:
    made = Made()
    shared = EngineSupervisor(made, release_s=0.2)
    shared.choose(Settings())
    _wait_until_ready(shared)
    _wait_for(lambda: shared.status().phase is Phase.ASLEEP)
    _wait_for(lambda: made.engines[0].status().phase is Phase.CLOSED)
    assert "next request" in shared.status().message
    assert shared.ready is None
    _wait_until_ready(shared)
    assert len(made.engines) == 2
    shared.close()


def test_a_model_that_is_asked_now_and_then_stays() -> None:
    made = Made()
    shared = EngineSupervisor(made, release_s=0.4)
    shared.choose(Settings())
    _wait_until_ready(shared)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        assert shared.ready is made.engines[0]
        time.sleep(0.02)
    shared.close()


def test_an_engine_that_dies_is_built_anew_after_growing_waits() -> None:
    made = Made()
    shared = EngineSupervisor(made, first_wait_s=0.1)
    shared.choose(Settings())
    for deaths in (1, 2, 3):
        _wait_until_ready(shared)
        began = time.monotonic()
        made.engines[-1].set_status(phase=Phase.FAILED, message="The engine stopped.")
        assert shared.ready is None
        _wait_until_ready(shared)
        assert len(made.engines) == deaths + 1
        assert time.monotonic() - began >= 0.1 * 2 ** (deaths - 1)
    shared.close()


def test_a_model_that_cannot_load_is_tried_again_by_the_next_client_and_by_nobody_else() -> None:
    made = Made(failure="No room.")
    shared = EngineSupervisor(made, first_wait_s=0.01)
    shared.choose(Settings())
    _wait_for(lambda: shared.status().phase is Phase.FAILED)
    time.sleep(0.2)
    assert len(made.engines) == 1
    made.options = {}
    assert shared.choose(Settings())
    _wait_until_ready(shared)
    assert len(made.engines) == 2
    shared.close()


def test_an_engine_that_worked_and_loads_no_more_is_tried_with_growing_waits_and_then_called_beyond_repair() -> None:
    made = Made()
    shared = EngineSupervisor(made, first_wait_s=0.02)
    shared.choose(Settings())
    _wait_until_ready(shared)
    made.options = {"failure": "The device is gone."}
    made.engines[-1].set_status(phase=Phase.FAILED, message="The engine stopped.")
    _wait_for(lambda: shared.is_beyond_repair)
    made.options = {}
    _wait_until_ready(shared)
    assert not shared.is_beyond_repair
    shared.close()


def test_a_model_that_was_put_away_and_does_not_come_back_is_tried_again() -> None:
    made = Made()
    shared = EngineSupervisor(made, release_s=0.2, first_wait_s=0.02)
    shared.choose(Settings())
    _wait_until_ready(shared)
    _wait_for(lambda: shared.status().phase is Phase.ASLEEP)
    made.options = {"failure": "No room."}
    assert shared.ready is None
    _wait_for(lambda: shared.status().phase is Phase.FAILED)
    made.options = {}
    _wait_until_ready(shared)
    shared.close()


def test_a_model_that_never_loaded_is_not_beyond_repair() -> None:
    shared = EngineSupervisor(Made(failure="No room."), first_wait_s=0.01)
    for _ in range(4):
        shared.choose(Settings())
        _wait_for(lambda: shared.status().phase is Phase.FAILED)
    assert not shared.is_beyond_repair
    shared.close()


@async_test
async def test_who_waits_has_the_engine_once_it_is_ready_and_nothing_where_it_fails() -> None:
    shared = EngineSupervisor(Made(load_s=0.2))
    assert await shared.awaited(0.01) is None
    shared.choose(Settings())
    assert await shared.awaited(0.0) is None
    assert await shared.awaited(5.0) is not None
    await asyncio.to_thread(shared.close)
    failing = EngineSupervisor(Made(failure="No room."))
    failing.choose(Settings())
    began = time.monotonic()
    assert await failing.awaited(20.0) is None
    assert time.monotonic() - began < 10
    await asyncio.to_thread(failing.close)


def _wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def _wait_until_ready(shared: EngineSupervisor) -> None:
    limit = time.monotonic() + 5
    while shared.ready is None:
        assert time.monotonic() < limit
        time.sleep(0.005)
