"""Settings and fixtures of all tests: no time limits of Hypothesis, a private environment, and small checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from isolation import isolated_environment

# Read when torch is imported: threads that spin while they wait cost minutes on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The time limits of Hypothesis depend on what else the machine does. The suite tries the same examples in each run;
# ``pytest --hypothesis-profile=random`` looks for others.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("random"), derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``-m perf``, leave out the bounds on time, which fail while the machine does something else; without
    ``-m compiler``, what a compiler works on for most of a minute."""
    for mark in ("perf", "compiler"):
        if mark not in config.option.markexpr:
            left_out = [item for item in items if item.get_closest_marker(mark)]
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True, scope="session")
def environment_of_the_tests() -> Iterator[None]:
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
