"""For every test: a busy machine makes none of them fail, and none meets what belongs to whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from alone import alone

settings.register_profile("untimed")
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def by_itself() -> Iterator[None]:
    with alone():
        yield
