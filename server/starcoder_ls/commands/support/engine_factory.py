"""Creates the engines of all commands. Only commands create engines.

With `remote.url`, a server on another machine runs the model. Else a language server runs it itself, and a headless
command uses the engine of a daemon that has loaded the same model and the adapters of the settings, if there is one.
"""

from __future__ import annotations

import contextlib
import queue
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from starcoder_ls.errors import NO_ENGINE, DaemonError, EngineError, ModelError
from starcoder_ls.generation import Engine, EngineFactory, Phase, Status
from starcoder_ls.settings import Adapter, Remote, Settings

AdapterFilter = Callable[[str, Adapter], bool]
"""Whether a command needs the adapter of this name."""


@dataclass(frozen=True, slots=True)
class LocalEngineFactory:
    """An ``EngineFactory`` for the model in this process, with the adapters of the settings that ``needs_adapter``
    selects (None selects all). Servers use it, and commands that measure the model.

    ``is_process_ending`` is for commands that exit after the engine: it is closed without collecting garbage."""

    needs_adapter: AdapterFilter | None = None
    is_process_ending: bool = False

    def __call__(self, settings: Settings, /) -> Engine:
        if find_spec("starcoder_ls.engine") is None:
            raise ModelError(NO_ENGINE)
        from starcoder_ls.engine.local_engine import LocalEngine  # imports torch, which takes seconds

        adapters = settings.resident_adapters()
        if (needs_adapter := self.needs_adapter) is not None:
            adapters = {name: adapter for name, adapter in adapters.items() if needs_adapter(name, adapter)}
        return LocalEngine(settings.model, adapters, releases_memory=not self.is_process_ending)


@dataclass(frozen=True, slots=True)
class ConfiguredEngineFactory:
    """An ``EngineFactory`` for the engine that the settings name: on another machine, perhaps with a local one behind
    it, or in this process. The parameters are those of ``LocalEngineFactory``."""

    needs_adapter: AdapterFilter | None = None
    is_process_ending: bool = False

    def __call__(self, settings: Settings, /) -> Engine:
        local = LocalEngineFactory(self.needs_adapter, self.is_process_ending)
        return _remote_engine(settings, local, self.is_process_ending) if settings.remote.url else local(settings)


@dataclass(frozen=True, slots=True)
class DaemonOrLocalEngineFactory:
    """An ``EngineFactory`` for commands that answer and exit: the engine of a daemon if one has the model and the
    adapters of the settings loaded, else a local one; with `remote.url`, the remote one. The parameters are those of
    ``LocalEngineFactory``."""

    needs_adapter: AdapterFilter | None = None
    is_process_ending: bool = True

    def __call__(self, settings: Settings, /) -> Engine:
        if settings.remote.url:
            return ConfiguredEngineFactory(self.needs_adapter, self.is_process_ending)(settings)
        local = LocalEngineFactory(self.needs_adapter, self.is_process_ending)
        return _find_daemon_engine(settings) or local(settings)


@contextlib.contextmanager
def loaded_engine(
    settings: Settings, factory: EngineFactory = LocalEngineFactory(), shows_progress: bool = True
) -> Iterator[Engine]:
    """The engine of ``factory`` with its model loaded, and progress on standard error; closed at the end.

    Raises ModelError with the engine's message if the model or an adapter cannot be loaded.
    """
    engine = factory(settings)
    try:
        if engine.status().phase is Phase.LOADING:
            _load(engine, shows_progress)
        yield engine
    finally:
        engine.close()


def _remote_engine(settings: Settings, make_local: EngineFactory, is_process_ending: bool) -> Engine:
    """Raises SettingsError for an endpoint that must not be used."""
    from starcoder_ls.remote.remote_engine import RemoteEngine

    if settings.remote.fallback == "none":
        return RemoteEngine(settings, is_patient=not is_process_ending)
    from starcoder_ls.remote.fallback_engine import FallbackEngine

    remote = RemoteEngine(settings, token_timeout_s=settings.remote.fallback_after_ms / 1000)
    return FallbackEngine(remote, make_local(settings.model_copy(update={"remote": Remote()})))


def _find_daemon_engine(settings: Settings) -> Engine | None:
    """The engine of a running daemon, if its model is loaded and it has every adapter of ``settings``; else None."""
    if sys.platform == "win32" or not settings.sharing.enabled:
        return None
    from starcoder_ls.daemon.engine_client import EngineClient, daemon_socket_path

    try:
        engine = EngineClient(daemon_socket_path(settings))
    except (DaemonError, EngineError, OSError):
        return None
    status = engine.status()
    sources = {adapter.name: adapter.source for adapter in status.adapters}
    has_adapters = all(sources.get(name) == adapter.source for name, adapter in settings.resident_adapters().items())
    return engine if has_adapters and status.phase in (Phase.READY, Phase.WORKING) else None


def _load(engine: Engine, shows_progress: bool) -> None:
    changes: queue.SimpleQueue[Status] = queue.SimpleQueue()
    engine.subscribe(changes.put)
    with _progress_line() if shows_progress else contextlib.nullcontext() as show:
        engine.start()
        status = engine.status()
        while status.phase is Phase.LOADING:
            status = changes.get()
            if show is not None:
                show(f"{status.message or 'loading'} ({status.progress:.0%})")
    if status.phase is Phase.FAILED or status.missing_adapters:  # a command cannot ask whether to go on without them
        raise ModelError(status.message)
    if status.message:
        from starcoder_ls.commands.support.console import stderr  # imports rich, which a server does not need

        stderr.print(status.message)


@contextlib.contextmanager
def _progress_line() -> Iterator[Callable[[str], None]]:
    from rich.text import Text

    from starcoder_ls.commands.support.console import stderr

    with stderr.status("loading") as line:
        yield lambda text: line.update(Text(text))
