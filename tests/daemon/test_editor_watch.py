from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from starcoder_ls.daemon.editor_watch import watch_editor


def test_exit_is_detected_at_the_first_check_after_it_even_for_a_zombie() -> None:
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    checks, exited = 0, threading.Event()

    def sleep(_: float) -> None:
        nonlocal checks
        checks += 1
        assert not exited.is_set()
        if checks == 3:
            editor.kill()
            os.waitid(os.P_PID, editor.pid, os.WEXITED | os.WNOWAIT)  # ended, but a zombie: it was not reaped

    thread = watch_editor(editor.pid, exited.set, sleep)
    assert thread is not None
    thread.join()
    assert exited.is_set()
    assert checks == 3
    editor.wait()
    assert editor.stdin is not None
    editor.stdin.close()


@pytest.mark.parametrize("process_id", [None, 0, -1, True, "7", 2**40])
def test_process_that_is_not_visible_is_not_watched(process_id: object) -> None:
    assert watch_editor(process_id, lambda: os._exit(9)) is None
