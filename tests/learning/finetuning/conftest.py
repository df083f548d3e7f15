"""One thread: several wait for each other at every step of a small model while the machine does something else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def single_threaded() -> Iterator[None]:
    import torch  # loads slowly, and not all tests of this folder need it

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
