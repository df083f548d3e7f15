from __future__ import annotations

import os

import pytest
import torch

from starcoder_ls.engine import cpu_threads


def test_openmp_keeps_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    cpu_threads.configure_openmp()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == ("ACTIVE", "300")
    monkeypatch.delenv("GOMP_SPINCOUNT")


def test_limit_is_that_of_torch() -> None:
    before = torch.get_num_threads()
    try:
        cpu_threads.limit(1)
        assert torch.get_num_threads() == 1
    finally:
        cpu_threads.limit(before)
