"""The Ray Serve application of deploy/ray with engines that count the tokens that they generate, also those that nobody
receives: each replica appends one byte for a token to a file that has the name of its process."""

import dataclasses
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ray.serve import Application

from ray_app import Options, application
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.generation import Chunk, Engine, Request
from starcoder_ls.settings import Settings

FOLDER = "COUNTED_TOKENS"


class CountingEngine(LocalEngine):
    """``folder`` gets the file."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        super().__init__(settings.model, settings.resident_adapters())
        self._file = os.open(folder / str(os.getpid()), os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:  # type: ignore[override]
        async for chunk in super().stream(dataclasses.replace(request, stop=self._counted(request.stop))):
            yield chunk

    def _counted(self, stop: Callable[[str], int | None] | None) -> Callable[[str], int | None]:
        """A stop rule, which the engine calls after each token, in its own thread."""

        def count(text: str) -> int | None:
            os.write(self._file, b".")
            return None if stop is None else stop(text)

        return count


def build(options: Options) -> Application:
    folder = Path(os.environ[FOLDER])

    def make_engine(settings: Settings) -> Engine:
        return CountingEngine(settings, folder)

    return application(options, make_engine)
