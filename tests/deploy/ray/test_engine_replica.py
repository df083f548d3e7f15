"""The part of the Ray Serve application that needs no Ray, with a scripted engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from engine_replica import Replica
from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from starcoder_ls.errors import EngineError, ModelError
from starcoder_ls.generation import Phase

HEADERS = {"Authorization": "Bearer the-token-of-the-replicas"}


def replica_of(engine: ScriptedEngine) -> Replica:
    return Replica(SCRIPTED_SETTINGS, "the-token-of-the-replicas", lambda _: engine)


def test_loaded_replica_answers_under_any_name_of_its_host_with_the_token() -> None:
    replica = replica_of(ScriptedEngine(scripts=[["one"]]))
    client = TestClient(replica.application, base_url="http://ray-head:8000")
    assert client.get("/health").status_code == 200
    assert client.post("/v1/completions", json={"prompt": "zero "}).status_code == 401
    answer = client.post("/v1/completions", json={"prompt": "zero "}, headers=HEADERS).json()
    assert answer["choices"][0]["text"] == "one"
    assert client.get("/v1/models", headers=HEADERS | {"Origin": "http://example.org"}).status_code == 403
    replica.close()


def test_replica_whose_model_cannot_be_loaded_says_why() -> None:
    with pytest.raises(ModelError, match="no weights"):
        replica_of(ScriptedEngine(failure="no weights"))


@pytest.mark.parametrize("end", [lambda engine: engine.close(), lambda engine: engine.set_status(phase=Phase.FAILED)])
def test_replica_whose_engine_has_ended_is_not_healthy(end: Callable[[ScriptedEngine], None]) -> None:
    engine = ScriptedEngine()
    replica = replica_of(engine)
    replica.require_healthy()
    end(engine)
    with pytest.raises(EngineError):
        replica.require_healthy()
    replica.close()
