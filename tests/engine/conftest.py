"""Fixtures of the engine's tests: loaded models in float64 and started engines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.settings import Adapter, Model

torch.set_num_threads(1)


def in_double(folder: Path, chunk_tokens: int = 16, adapters: Mapping[str, Path] | None = None) -> LoadedModel:
    """A loaded model in float64, where equal computations give equal tokens; chunks shorter than the prompts."""
    settings = Model(name=str(folder), device="cpu", dtype="float32")
    resident = {name: Adapter(path=str(path)) for name, path in (adapters or {}).items()}
    loaded = load(settings, lambda _fraction, _sentence: None, resident)
    assert loaded.message == ""
    loaded.runner.model.double()
    for adapter in loaded.adapters:
        for target in adapter.targets:
            target.adapter_layer.double()
        if adapter.virtual_tokens is not None:
            adapter.virtual_tokens.states.data = adapter.virtual_tokens.states.double()
    loaded.runner.chunk_tokens = chunk_tokens
    loaded.runner.pass_costs = ()  # no drafts unless a test wants them: what is tried would follow the clock
    return loaded


@pytest.fixture(scope="session")
def doubled() -> Callable[..., LoadedModel]:
    return in_double


@pytest.fixture
def engines() -> Iterator[Callable[..., LocalEngine]]:
    """Started engines by folder; all are closed after the test."""
    started: list[LocalEngine] = []

    def started_engine(
        folder: Path | str, adapters: Mapping[str, Path] | None = None, **settings: object
    ) -> LocalEngine:
        resident = {name: Adapter(path=str(path)) for name, path in (adapters or {}).items()}
        model = Model(name=str(folder), **({"device": "cpu", "threads": 1} | settings))  # type: ignore[arg-type]
        engine = LocalEngine(model, resident, releases_memory=False)  # examining all objects takes 0.4 s
        started.append(engine)
        engine.start()
        return engine

    yield started_engine
    for engine in started:
        engine.close()
