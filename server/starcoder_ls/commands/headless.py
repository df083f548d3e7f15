"""An engine for one command: loaded with a progress line on standard error, closed at the end."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from starcoder_ls.engine.resident import ResidentEngine
from starcoder_ls.errors import ModelError
from starcoder_ls.generation import Engine, Phase, Status
from starcoder_ls.settings import Model

stderr = Console(stderr=True, highlight=False)


@contextmanager
def loaded(model: Model) -> Iterator[Engine]:
    """A ready engine. Raises ModelError with the engine's own sentence if it cannot load."""
    engine = ResidentEngine(model)
    changes: queue.SimpleQueue[Status] = queue.SimpleQueue()
    engine.subscribe(changes.put)
    try:
        with stderr.status("loading") as line:
            engine.start()
            status = engine.status()
            while status.phase is Phase.LOADING:
                status = changes.get()
                line.update(f"{status.message or 'loading'} ({status.progress:.0%})")
        if status.phase is Phase.FAILED:
            raise ModelError(status.message)
        yield engine
    finally:
        engine.close()
