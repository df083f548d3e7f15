from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from starcoder_ls.errors import EngineNotReady, ModelNotFound
from starcoder_ls.generation import Engine, Phase
from starcoder_ls.http_api.engine_source import EngineSource
from starcoder_ls.settings import Settings


def ready(source: EngineSource) -> Engine:
    while True:
        try:
            return source.ready_engine()
        except EngineNotReady:
            time.sleep(0.001)


def test_ended_engine_is_replaced_once() -> None:
    made: list[ScriptedEngine] = []

    def factory(_: Settings) -> ScriptedEngine:
        made.append(ScriptedEngine())
        return made[-1]

    source = EngineSource(factory, SCRIPTED_SETTINGS)
    first = ready(source)
    source.replace(first)
    second = ready(source)
    source.replace(first)
    assert (made, source.ready_engine()) == ([first, second], second)
    source.close()


def test_state_of_loading_and_the_reason_of_a_failure_are_reported() -> None:
    def failing(_: Settings) -> Engine:
        raise ModelNotFound("no such model")

    source = EngineSource(failing, SCRIPTED_SETTINGS)
    with pytest.raises(EngineNotReady, match=r"The model is loading\."):
        source.ready_engine()
    messages: set[str] = set()
    while "no such model" not in messages:
        with pytest.raises(EngineNotReady) as raised:
            source.ready_engine()
        messages.add(str(raised.value))


def test_engine_that_is_made_during_the_end_is_closed() -> None:
    is_closed = []

    class Closing(ScriptedEngine):
        def close(self) -> None:
            is_closed.append(True)
            super().close()

    factory: Callable[[Settings], Engine] = lambda _: Closing()  # noqa: E731
    source = EngineSource(factory, SCRIPTED_SETTINGS)
    source.close()
    source._create()
    assert is_closed == [True]


def test_failed_engine_is_replaced_after_growing_delays() -> None:
    made: list[ScriptedEngine] = []
    now_s = 100.0

    def factory(_: Settings) -> ScriptedEngine:
        made.append(ScriptedEngine(failure="" if len(made) == 2 else "the device has failed"))
        return made[-1]

    def wait_for(count: int) -> None:
        while len(made) < count or source.status().phase is Phase.LOADING:
            time.sleep(0.001)

    source = EngineSource(factory, SCRIPTED_SETTINGS, lambda: now_s)
    source.start()
    wait_for(1)
    for elapsed_s, count in ((0.0, 2), (0.5, 2), (0.6, 3)):
        now_s += elapsed_s
        with pytest.raises(EngineNotReady, match="the device has failed"):
            source.ready_engine()
        wait_for(count)
        assert len(made) == count
    assert source.ready_engine() is made[2]
    source.close()


def test_factory_with_a_defect_is_reported_as_a_failure() -> None:
    def defective(_: Settings) -> Engine:
        raise ImportError("no module named torch")

    source = EngineSource(defective, SCRIPTED_SETTINGS)
    source.start()
    while source.status().phase is Phase.LOADING:
        time.sleep(0.001)
    assert "starcoder-ls logs" in source.status().message
    source.close()
