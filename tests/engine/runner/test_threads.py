from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from starcoder_ls.engine.runner import threads


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def seen(weight_bytes: int, tokens: int) -> int:
    model = nn.Linear(1, 1)
    threads.mark(model, weight_bytes)
    with threads.threads_for_pass(model, tokens):
        return torch.get_num_threads()


def test_a_short_pass_of_a_small_model_runs_on_one_thread_and_gives_the_others_back() -> None:
    assert seen(2**20, 1) == 1
    assert torch.get_num_threads() == 2


def test_long_passes_and_large_models_keep_all() -> None:
    assert seen(2**20, 512) == 2
    assert seen(2**30, 1) == 2


def test_a_failure_gives_them_back_too() -> None:
    model = nn.Linear(1, 1)
    threads.mark(model, 1)
    with pytest.raises(RuntimeError), threads.threads_for_pass(model, 1):
        raise RuntimeError
    assert torch.get_num_threads() == 2


def test_what_is_small_runs_on_one_thread() -> None:
    with threads.single_threaded():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
