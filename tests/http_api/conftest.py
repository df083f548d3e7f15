"""The HTTP API with a scripted engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from http_api_client import Api
from starcoder_ls.http_api.engine_source import EngineSource


@pytest.fixture
def open_api() -> Iterator[Callable[..., Api]]:
    """Makes the API of an engine with the options of ``ScriptedEngine``, whose model is loaded."""
    sources: list[EngineSource] = []

    def make(**options: Any) -> Api:
        engine = ScriptedEngine(**options)
        source = EngineSource(lambda _: engine, SCRIPTED_SETTINGS)
        sources.append(source)
        source.start()
        api = Api(engine, source)
        while api.client.get("/health").status_code != 200:
            pass
        return api

    yield make
    for source in sources:
        source.close()
