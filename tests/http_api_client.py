"""A client of the HTTP API that calls it in this process, and the scripted engine that answers."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from starcoder_ls.http_api.application import create_application
from starcoder_ls.http_api.engine_source import EngineSource

TOKEN = "a-token-of-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Api:
    """A client of the API, and the engine that answers it."""

    def __init__(self, engine: ScriptedEngine, source: EngineSource) -> None:
        self.engine = engine
        app = create_application(source, SCRIPTED_SETTINGS, TOKEN)
        self.client = TestClient(app, base_url="http://127.0.0.1:7071", headers=HEADERS, raise_server_exceptions=True)

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(path, json=body)
