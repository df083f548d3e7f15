"""Lets the layers of a transformers model use another function of ``AttentionInterface``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def use(model: Any, name: str) -> None:
    """The layers of ``model`` use the attention function registered as ``name`` from now on."""
    for config in _configs(model):
        config._attn_implementation_internal = name


@contextmanager
def used_by(model: Any, name: str) -> Iterator[None]:
    """The layers of ``model`` use the attention function registered as ``name``, and afterwards the one before it."""
    before = [(config, config._attn_implementation_internal) for config in _configs(model)]
    try:
        use(model, name)
        yield
    finally:
        for config, previous in before:
            config._attn_implementation_internal = previous


def _configs(model: Any) -> list[Any]:
    return list({id(config): config for config in (model.config, model.base_model.config)}.values())
