from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pytest
import torch

from starcoder_ls.engine.runner.threads import (
    SHORT_PASS_TOKENS,
    SMALL_MODEL_BYTES,
    physical_cores,
    threads_for_pass,
    use_threads,
)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda **_: None)
    assert physical_cores() == 1
    monkeypatch.setattr(psutil, "cpu_count", lambda **_: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert physical_cores() == 3


def test_short_pass_of_a_small_model_uses_one_thread() -> None:
    assert threads_for_pass(1, 2**20, 4) == 1
    assert threads_for_pass(SHORT_PASS_TOKENS, SMALL_MODEL_BYTES, 4) == 1


def test_long_pass_and_large_model_use_all_threads() -> None:
    assert threads_for_pass(SHORT_PASS_TOKENS + 1, 2**20, 4) == 4
    assert threads_for_pass(1, SMALL_MODEL_BYTES + 1, 4) == 4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_use_threads_sets_the_count_and_restores_it(count: int) -> None:
    with use_threads(count):
        assert torch.get_num_threads() == count
    assert torch.get_num_threads() == 2


def test_use_threads_restores_the_count_after_an_error() -> None:
    with pytest.raises(RuntimeError), use_threads(1):
        raise RuntimeError
    assert torch.get_num_threads() == 2
