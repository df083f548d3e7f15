"""Selects the adapter of a completion that a command requests."""

from __future__ import annotations

from dataclasses import replace

from starcoder_ls import routing
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.generation import Engine
from starcoder_ls.settings import Adapter, Settings


def is_completion_adapter(_name: str, adapter: Adapter) -> bool:
    """Whether the adapter may answer completions. A command that completes need not load the others."""
    return routing.COMPLETION in adapter.tasks


def with_routed_adapter(engine: Engine, settings: Settings, cursor: Cursor) -> Cursor:
    """``cursor`` with the adapter that completes files such as this one."""
    names = {adapter.name for adapter in engine.status().adapters}
    route = routing.route(settings, names, routing.COMPLETION, cursor.language, cursor.path)
    return replace(cursor, adapter=None if route is None else route.adapter)
