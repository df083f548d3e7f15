"""An engine for one command: loaded with a progress line on standard error, closed at the end."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.text import Text

from starcoder_ls.engine.resident import ResidentEngine
from starcoder_ls.errors import ModelError
from starcoder_ls.generation import Engine, Phase, Status
from starcoder_ls.settings import Model

stderr = Console(stderr=True, highlight=False, markup=False)


@contextmanager
def loaded(model: Model, is_shown: bool = True) -> Iterator[Engine]:
    """A ready engine; ``is_shown`` draws the progress of its loading.

    Raises ModelError with the engine's own sentence if it cannot load.
    """
    engine = ResidentEngine(model)
    changes: queue.SimpleQueue[Status] = queue.SimpleQueue()
    engine.subscribe(changes.put)
    try:
        with stderr.status("loading") if is_shown else nullcontext() as line:
            engine.start()
            status = engine.status()
            while status.phase is Phase.LOADING:
                status = changes.get()
                if line is not None:
                    line.update(Text(f"{status.message or 'loading'} ({status.progress:.0%})"))
        if status.phase is Phase.FAILED:
            raise ModelError(status.message)
        yield engine
    finally:
        engine.close()
