"""Lets the layers of a transformers model use another function of ``AttentionInterface`` for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def used_by(model: Any, name: str) -> Iterator[None]:
    """The layers of ``model`` use the attention function registered as ``name``, and afterwards the one before it."""
    configs = {id(config): config for config in (model.config, model.base_model.config)}.values()
    before = [config._attn_implementation_internal for config in configs]
    try:
        for config in configs:
            config._attn_implementation_internal = name
        yield
    finally:
        for config, previous in zip(configs, before, strict=True):
            config._attn_implementation_internal = previous
