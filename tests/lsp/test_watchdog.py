from __future__ import annotations

import subprocess
import sys
import threading
import time

from starcoder_ls.lsp import watchdog


def test_a_parent_is_gone_when_it_is_a_zombie() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    gone = threading.Event()
    watchdog.watch_parent(parent.pid, gone.set)
    assert not gone.wait(3 * watchdog.POLL_S)
    parent.kill()
    assert gone.wait(3 * watchdog.POLL_S)
    parent.wait()


def test_the_last_exit_is_early_enough_for_an_editor_to_see_an_orderly_end() -> None:
    assert watchdog.POLL_S + watchdog.FORCED_EXIT_S < 3


def test_the_last_exit_ends_a_process_that_hangs_with_the_last_code_given() -> None:
    code = (
        "import time\n"
        "from starcoder_ls.lsp.watchdog import ForcedExit\n"
        "last = ForcedExit(0.3)\n"
        "last.arm(1)\n"
        "last.arm(7)\n"
        "time.sleep(60)"
    )
    begin = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert time.monotonic() - begin < 10
