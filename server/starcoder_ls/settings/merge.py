"""Operations on nested tables of settings: merge two, and separate unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from starcoder_ls.model_override import inherited


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``override``; nested tables are merged. None is a value like any other."""
    result = dict(base)
    for key, value in override.items():
        old = result.get(key)
        are_tables = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = merge(old, value) if are_tables else value  # type: ignore[arg-type]
    return result


def merge_settings(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """``merge`` of two trees of settings. A model that ``override`` names does not inherit what belongs to another."""
    old, new = base.get("model"), override.get("model")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        base = {**base, "model": inherited(old, new)}
    return merge(base, override)


def split_unknown(model: type[BaseModel], tree: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """``tree`` without the keys that ``model`` does not have, and these keys. Editors also send other servers' keys."""
    known: dict[str, Any] = {}
    unknown = [str(name) for name in tree if name not in model.model_fields]
    for name, field in model.model_fields.items():
        value, section = tree.get(name), field.annotation
        if isinstance(value, Mapping) and isinstance(section, type) and issubclass(section, BaseModel):
            known[name] = {key: item for key, item in value.items() if key in section.model_fields}
            unknown += [f"{name}.{key}" for key in value if key not in section.model_fields]
        elif name in tree:
            known[name] = value
    return known, unknown
