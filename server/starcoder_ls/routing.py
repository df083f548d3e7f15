"""Selects the adapter for a task on a document, from the settings and the resident adapters."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection
from dataclasses import dataclass

from starcoder_ls.gitignore.patterns import IgnorePatterns, PatternsTooComplex
from starcoder_ls.languages.table import normalize_id
from starcoder_ls.settings import Adapter, Settings

COMPLETION = "completion"
INSTRUCT = "instruct"
"""In the tasks of an adapter or model: every task but completion."""

_Specificity = tuple[bool, bool, bool]
"""Whether an adapter names files, languages and the task. Greater tuples are more specific."""


@dataclass(frozen=True, slots=True)
class Route:
    """The name of an adapter, or None for the base model."""

    adapter: str | None = None


def route(settings: Settings, resident: Collection[str], task: str, language: str = "", path: str = "") -> Route | None:
    """The most specific resident adapter that does ``task`` for this document, else the base model, else None.

    An adapter that names files comes before one that names languages, and that before one for all documents; then one
    that names the task before one for every action; then the first in the settings. The adapters of the bundled model
    come after the user's. The base model does every completion.
    """
    best: tuple[tuple[bool, _Specificity], str] | None = None
    for name, adapter in settings.resident_adapters().items():
        specificity = _specificity(adapter, task, language, path)
        if name not in resident or specificity is None:
            continue
        rank = name in settings.adapters, specificity
        if best is None or rank > best[0]:
            best = rank, name
    if best is not None:
        return Route(best[1])
    return Route() if task == COMPLETION or _includes(settings.model.tasks, task) else None


def _specificity(adapter: Adapter, task: str, language: str, path: str) -> _Specificity | None:
    """None if the adapter does not do the task for this document."""
    if not _includes(adapter.tasks, task):
        return None
    if adapter.languages and normalize_id(language) not in map(normalize_id, adapter.languages):
        return None
    if adapter.files and not _names_file(adapter.files, path):
        return None
    return bool(adapter.files), bool(adapter.languages), task in adapter.tasks


def _names_file(patterns: tuple[str, ...], path: str) -> bool:
    """Patterns have ``/`` on every system. Those beyond the limits name no file."""
    compiled = _compile(patterns)
    return compiled is not None and compiled.match_with_folders(path.replace(os.sep, "/").lstrip("/")) is True


@functools.lru_cache(maxsize=64)
def _compile(patterns: tuple[str, ...]) -> IgnorePatterns | None:
    try:
        return IgnorePatterns.of_lines(patterns)
    except PatternsTooComplex:
        return None


def _includes(tasks: Collection[str], task: str) -> bool:
    return task in tasks or (task != COMPLETION and INSTRUCT in tasks)
