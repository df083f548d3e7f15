"""Checkpoints shared by the engine's tests, and nothing that reaches the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch

import checkpoints
from starcoder_ls.engine.loading.load_model import Loaded, load
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.settings import Adapter, Model

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def starcoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("models") / "starcoder")


@pytest.fixture(scope="session")
def starcoder2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.starcoder2(tmp_path_factory.mktemp("models") / "starcoder2")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.qwen2(tmp_path_factory.mktemp("models") / "qwen2")


@pytest.fixture(scope="session")
def santacoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.santacoder(tmp_path_factory.mktemp("models") / "santacoder")


def in_double(folder: Path, chunk_tokens: int = 16, adapters: Mapping[str, Path] | None = None) -> Loaded:
    """A loaded model in float64, where equal computations give equal tokens; chunks shorter than the prompts."""
    wanted = Model(name=str(folder), device="cpu", dtype="float32")
    resident = {name: Adapter(path=str(path)) for name, path in (adapters or {}).items()}
    loaded = load(wanted, lambda _fraction, _sentence: None, resident)
    assert loaded.message == ""
    loaded.model.double()
    for held in loaded.adapters:
        for site in held.sites:
            site.adapted.double()
        if held.prompt is not None:
            held.prompt.states.data = held.prompt.states.double()
    loaded.chunk_tokens = chunk_tokens
    loaded.pass_costs = ()  # no drafts unless a test wants them: what is tried would follow the clock
    return loaded


@pytest.fixture(scope="session")
def doubled() -> Callable[..., Loaded]:
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
        engine = LocalEngine(model, resident)
        started.append(engine)
        engine.start()
        return engine

    yield started_engine
    for engine in started:
        engine.close()
