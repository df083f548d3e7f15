"""A client of the HTTP API that calls it in this process, and the scripted engine that answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from fake_vllm import BUNDLED
from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from starcoder_ls.generation import Engine, Phase
from starcoder_ls.http_api.application import create_application
from starcoder_ls.http_api.engine_source import EngineSource
from starcoder_ls.http_api.uvicorn_server import UnsignalledServer, listen
from starcoder_ls.text_tokens.tokenizer import Tokenizer

TOKEN = "a-token-of-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Api:
    """A client of the API, and the engine that answers it."""

    def __init__(
        self, engine: ScriptedEngine, source: EngineSource, read_tokenizer: Callable[[], Tokenizer] | None = None
    ) -> None:
        self.engine = engine
        app = create_application(source, SCRIPTED_SETTINGS, TOKEN, read_tokenizer)
        self.client = TestClient(app, base_url="http://127.0.0.1:7071", headers=HEADERS, raise_server_exceptions=True)

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(path, json=body)


@contextmanager
def serving_api(engine: Engine, token: str) -> Iterator[str]:
    """The URL of a server with the API of ``engine``, whose tokenizer is the bundled one, once it is ready."""
    source = EngineSource(lambda _: engine, SCRIPTED_SETTINGS)
    app = create_application(source, SCRIPTED_SETTINGS, token, lambda: BUNDLED)
    server = UnsignalledServer(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    source.start()
    while source.status().phase is Phase.LOADING or not server.started:
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        source.close()
