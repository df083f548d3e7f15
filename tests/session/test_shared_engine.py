from __future__ import annotations

import threading
import time

from fakes import ScriptedEngine
from starcoder_ls.generation import Phase, Status
from starcoder_ls.session.shared_engine import SharedEngine
from starcoder_ls.settings import Adapter, Model, Settings


def test_choosing_returns_at_once_however_long_making_the_engine_takes() -> None:
    may_go_on = threading.Event()

    def engine_for(_: Settings) -> ScriptedEngine:
        may_go_on.wait(10)
        return ScriptedEngine()

    shared = SharedEngine(engine_for)
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

    shared = SharedEngine(engine_for)
    assert shared.choose(Settings(model=Model(name="a")))
    assert shared.choose(Settings(model=Model(name="a"), adapters={"x": Adapter(path="y")}))
    assert not shared.choose(Settings(model=Model(name="b")))
    _wait_until_ready(shared)
    assert len(engines) == 1
    assert engines[0].starts == 1
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

    shared = SharedEngine(engine_for)
    shared.choose(Settings())
    shared.close()
    may_go_on.set()
    assert closed.wait(5)
    assert late.starts == 0


def test_a_listener_hears_every_change_until_it_unsubscribes() -> None:
    shared = SharedEngine(lambda _: ScriptedEngine(load_steps=2))
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


def _wait_until_ready(shared: SharedEngine) -> None:
    limit = time.monotonic() + 5
    while shared.ready is None:
        assert time.monotonic() < limit
        time.sleep(0.005)
