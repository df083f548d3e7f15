from __future__ import annotations

import sys
from pathlib import Path

import pytest

from starcoder_ls.evaluation import sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of a POSIX child process")


def test_program_that_ends_normally_passes() -> None:
    assert sandbox.passes("import math\nassert math.sqrt(4) == 2\nprint('x' * 10_000)", timeout_s=300.0)


@pytest.mark.parametrize(
    "program",
    [
        "assert False",
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "def f(:",
        "x = 'a' * (2 << 30)",
        "open('big', 'wb').write(b'0' * (4 << 20))",
        "input()",
        "while True: pass",
        "import time; time.sleep(60)",
    ],
)
def test_program_that_fails_or_exceeds_a_limit_does_not_pass(program: str) -> None:
    assert not sandbox.passes(program, timeout_s=1.0)


def test_child_processes_of_a_program_are_killed(tmp_path: Path) -> None:
    marker = tmp_path / "survived"
    child = f"time.sleep(30); open({str(marker)!r}, 'w')"
    assert not sandbox.passes(f"import os, time\nif os.fork() == 0: {child}\nos.wait()", timeout_s=1.0)
    assert not marker.exists()  # all processes have ended: their pipe has been read to its end


def test_program_has_no_network_if_the_kernel_can_isolate_it() -> None:
    if not sandbox.can_isolate_network():
        pytest.skip("this kernel gives no network namespaces to this user")
    listens = "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
    assert not sandbox.passes(listens + "socket.create_connection(s.getsockname(), 1)")
