"""Settings and fixtures of all tests: no time limits of Hypothesis, a private environment, and small checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from isolation import isolated_environment

settings.register_profile("untimed")
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def by_itself() -> Iterator[None]:
    with isolated_environment():
        yield


@pytest.fixture(scope="session")
def starcoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import checkpoints  # loads torch, which most tests do without

    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("models") / "starcoder")


@pytest.fixture(scope="session")
def starcoder2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import checkpoints  # loads torch, which most tests do without

    return checkpoints.starcoder2(tmp_path_factory.mktemp("models") / "starcoder2")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import checkpoints  # loads torch, which most tests do without

    return checkpoints.llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import checkpoints  # loads torch, which most tests do without

    return checkpoints.qwen2(tmp_path_factory.mktemp("models") / "qwen2")


@pytest.fixture(scope="session")
def santacoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import checkpoints  # loads torch, which most tests do without

    return checkpoints.santacoder(tmp_path_factory.mktemp("models") / "santacoder")
