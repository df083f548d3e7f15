from __future__ import annotations

import subprocess
import sys

import pytest

from starcoder_ls.lsp.exit_timer import ExitTimer

HOLD_THE_GIL = """
import re
from starcoder_ls.lsp.exit_timer import ExitTimer
timer = ExitTimer({exit_code}, 0.1)
re.match("(a*)*b", "a" * 60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a timer of Linux")
@pytest.mark.parametrize("exit_code", [0, 7])
def test_timer_ends_a_process_whose_gil_is_held_with_its_code(exit_code: int) -> None:
    command = [sys.executable, "-c", HOLD_THE_GIL.format(exit_code=exit_code)]
    assert subprocess.run(command, check=False).returncode == exit_code


@pytest.mark.parametrize(("platform", "pointer_bytes"), [("darwin", 8), ("win32", 8), ("linux", 4)])
def test_system_without_the_timer_raises_oserror(
    platform: str, pointer_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("ctypes.sizeof", lambda _type: pointer_bytes)
    with pytest.raises(OSError, match="no timer"):
        ExitTimer(0, 60.0)
