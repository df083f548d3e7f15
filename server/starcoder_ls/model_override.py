"""The `[model]` table of two sources: a source that names another model does not inherit what belongs to the first.

It imports nothing heavy, since the process of each window uses it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_BUNDLED = "bundled"
_OF_ONE_MODEL = ("revision", "tasks", "template")


def inherited(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` without revision, tasks and template if ``override`` names another model than ``base``.

    Those beside the bundled model, the default, are for any model.
    """
    old, new = base.get("name", _BUNDLED), override.get("name")
    is_other = isinstance(old, str) and isinstance(new, str) and old != _BUNDLED and not _are_same(old, new)
    return {key: value for key, value in base.items() if not (is_other and key in _OF_ONE_MODEL)}


def _are_same(first: str, second: str) -> bool:
    """Whether two names are the same Hub id or the same folder."""
    try:
        return os.path.abspath(first) == os.path.abspath(second)
    except OSError:  # the current directory was removed
        return first == second
