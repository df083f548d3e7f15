"""An engine for one command: loaded with a progress line on standard error, closed at the end."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from starcoder_ls import routing
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.errors import ModelError
from starcoder_ls.generation import Engine, Phase, Status
from starcoder_ls.settings import Adapter, Settings

stderr = Console(stderr=True, highlight=False, markup=False)


@contextmanager
def loaded(
    chosen: Settings,
    is_shown: bool = True,
    needed: Callable[[str, Adapter], bool] | None = None,
    may_borrow: bool = False,
) -> Iterator[Engine]:
    """A ready engine with the adapters of the settings, or those ``needed``; ``is_shown`` draws its progress.

    With ``may_borrow`` a resident process's, if one has the model and these adapters ready.

    Raises ModelError with the engine's own sentence if the model or one of its adapters cannot load.
    """
    if may_borrow and sys.platform != "win32":
        from starcoder_ls.daemon import engine_client

        if (warm := engine_client.warm(chosen)) is not None:
            yield warm
            return
    adapters = chosen.resident_adapters()
    if needed is not None:
        adapters = {name: adapter for name, adapter in adapters.items() if needed(name, adapter)}
    engine = LocalEngine(chosen.model, adapters)
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
        if status.message:  # an adapter was left out: a command has nobody to ask whether the base alone will do
            raise ModelError(status.message)
        yield engine
    finally:
        engine.close()


def completes(_name: str, adapter: Adapter) -> bool:
    """Whether it may answer a completion: one that cannot, and may not fit, is none of a completion's business."""
    return routing.COMPLETION in adapter.tasks


def routed(engine: Engine, chosen: Settings, cursor: Cursor) -> Cursor:
    """``cursor``, to be answered by the adapter that completes such a file."""
    resident = {held.name for held in engine.status().adapters}
    route = routing.route(chosen, resident, routing.COMPLETION, cursor.language, cursor.path)
    return replace(cursor, adapter=None if route is None else route.adapter)
