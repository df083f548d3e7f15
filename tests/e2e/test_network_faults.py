from __future__ import annotations

import gc
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import network_faults

# asyncio and httpx2 leave sockets of failed TLS handshakes to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _sockets_are_collected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.CRITICAL, logger="asyncio")  # a record would keep the socket's traceback
    yield
    gc.collect()


@pytest.mark.parametrize("has_fallback", [True, False], ids=["fallback", "alone"])
@pytest.mark.parametrize("name", network_faults.FAULTS)
def test_fault_costs_no_answer_and_the_server_is_found_again(name: str, has_fallback: bool, tmp_path: Path) -> None:
    if network_faults.FAULTS[name].has_tls and shutil.which("openssl") is None:
        pytest.skip("openssl makes certificates")
    network_faults.play(name, has_fallback, tmp_path)
