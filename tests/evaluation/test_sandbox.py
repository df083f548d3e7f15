from __future__ import annotations

import sys
import time

import pytest

from starcoder_ls.evaluation import sandbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of a POSIX child process")


def test_a_program_that_ends_has_passed() -> None:
    assert sandbox.passes("import math\nassert math.sqrt(4) == 2\nprint('x' * 10_000)")


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
def test_whatever_else_has_not(program: str) -> None:
    began = time.monotonic()
    assert not sandbox.passes(program, timeout_s=1.0)
    assert time.monotonic() - began < 10


def test_what_a_program_started_ends_with_it() -> None:
    began = time.monotonic()
    assert not sandbox.passes(
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=0)\nassert 0"
    )
    assert not sandbox.passes("import os, time\nif os.fork() == 0: time.sleep(60)\nos.wait()", timeout_s=1.0)
    assert time.monotonic() - began < 20


def test_a_program_has_no_network_where_the_kernel_takes_it_away() -> None:
    if not sandbox.has_own_network():
        pytest.skip("this kernel gives no network namespaces to this user")
    listens = "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
    assert not sandbox.passes(listens + "socket.create_connection(s.getsockname(), 1)")
