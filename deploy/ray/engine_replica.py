"""One replica of this program's own engine with the HTTP API over it. It does without Ray, so the suite tests it."""

from __future__ import annotations

import functools
import time

from starlette.applications import Starlette

from starcoder_ls.commands.support.engine_factory import LocalEngineFactory
from starcoder_ls.commands.support.model_tokenizer import read_model_tokenizer
from starcoder_ls.errors import EngineError, ModelError
from starcoder_ls.generation import EngineFactory, Phase
from starcoder_ls.http_api.application import create_application
from starcoder_ls.http_api.engine_source import EngineSource
from starcoder_ls.settings import Settings

_POLL_S = 0.05


class Replica:
    """The model of ``settings`` in this process. ``application`` answers HTTP requests that know ``token``.

    Constructing it loads the model. Raises ModelError if it cannot be loaded.
    """

    def __init__(self, settings: Settings, token: str, make_engine: EngineFactory | None = None) -> None:
        self._source = EngineSource(make_engine or LocalEngineFactory(), settings)
        self.application: Starlette = create_application(
            self._source, settings, token, functools.cache(lambda: read_model_tokenizer(settings)), is_local_only=False
        )
        self._source.start()
        while (status := self._source.status()).phase is Phase.LOADING:
            time.sleep(_POLL_S)
        if status.phase is Phase.FAILED:
            self.close()
            raise ModelError(status.message)

    def require_healthy(self) -> None:
        """Raises EngineError if the engine cannot answer any more: this process has to be replaced."""
        status = self._source.status()
        if status.phase in (Phase.FAILED, Phase.CLOSED):
            raise EngineError(status.message or "The engine was closed.")

    def close(self) -> None:
        """End the running requests and the engine. Idempotent."""
        self._source.close()
