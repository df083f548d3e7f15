"""Nested tables of settings: one laid over another, and one without what is no setting.

Refuses to know which settings there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` laid over ``below``, section by section; None in ``above`` is a value like any other."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        is_both_tables = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = merged(old, value) if is_both_tables else value  # type: ignore[arg-type]
    return result


def pruned(model: type[BaseModel], tree: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """``tree`` without keys that ``model`` lacks, and those keys: editors send along what is meant for others."""
    kept: dict[str, Any] = {}
    unknown = [str(name) for name in tree if name not in model.model_fields]
    for name, field in model.model_fields.items():
        section = tree.get(name)
        inner = field.annotation
        if isinstance(section, Mapping) and isinstance(inner, type) and issubclass(inner, BaseModel):
            kept[name] = {key: value for key, value in section.items() if key in inner.model_fields}
            unknown += [f"{name}.{key}" for key in section if key not in inner.model_fields]
        elif name in tree:
            kept[name] = section
    return kept, unknown
