"""Editors under test meet no resident process and no settings of whoever runs the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alone import alone


@pytest.fixture(scope="session", autouse=True)
def _alone() -> Iterator[None]:
    with alone():
        yield
