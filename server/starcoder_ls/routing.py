"""Which adapter does a task for a document.

Decides by the settings and by what is resident. Refuses to know what a task asks and who runs it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

from starcoder_ls.languages.table import normalize_id
from starcoder_ls.settings import Adapter, Settings

COMPLETION = "completion"
_Fit = tuple[bool, bool, bool]

INSTRUCT = "instruct"
"""Stands for every task but completion."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who does it: an adapter by name, or the base model alone (None)."""

    adapter: str | None = None


def route(settings: Settings, resident: Collection[str], task: str, language: str = "", path: str = "") -> Route | None:
    """The narrowest resident adapter that does ``task`` for this document, else the base if it does; else None.

    An adapter that names files comes before one that names languages, that before one for all; one that names the task
    before one for every action; among equals the first in the settings. The bundled model's own come after the user's.
    The base completes in any case.
    """
    best: tuple[tuple[bool, _Fit], str] | None = None
    for name, adapter in settings.resident_adapters().items():
        fit = _fit(adapter, task, language, path)
        if name not in resident or fit is None:
            continue
        rank = name in settings.adapters, fit
        if best is None or rank > best[0]:
            best = rank, name
    if best is not None:
        return Route(best[1])
    return Route() if task == COMPLETION or _does(settings.model.tasks, task) else None


def _fit(adapter: Adapter, task: str, language: str, path: str) -> _Fit | None:
    """How narrowly ``adapter`` fits, or None where it does not."""
    if not _does(adapter.tasks, task):
        return None
    if adapter.languages and normalize_id(language) not in map(normalize_id, adapter.languages):
        return None
    if adapter.files and not GitIgnoreSpec.from_lines(adapter.files).match_file(path.lstrip("/")):
        return None
    return bool(adapter.files), bool(adapter.languages), task in adapter.tasks


def _does(tasks: Collection[str], task: str) -> bool:
    return task in tasks or (task != COMPLETION and INSTRUCT in tasks)
