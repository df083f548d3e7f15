"""Detects that the editor has exited although its pipe stays open, as when another child process holds the pipe.

The counterpart of ``lsp.watchdog`` for window processes, without the import of psutil.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

POLL_INTERVAL_S = 0.5


def watch_editor(
    process_id: object, on_exit: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> threading.Thread | None:
    """Call ``on_exit`` on a thread when that process has ended. The thread sleeps between two checks.

    Returns None, and watches nothing, if ``process_id`` is no process that is visible here.
    """
    if type(process_id) is not int or process_id <= 0 or (identity := _process_identity(process_id)) is None:
        return None

    def watch() -> None:
        while _process_identity(process_id) == identity:
            sleep(POLL_INTERVAL_S)
        on_exit()

    thread = threading.Thread(target=watch, name="editor-watch", daemon=True)
    thread.start()
    return thread


def _process_identity(process_id: int) -> str | None:
    """A value that differs for another process with a recycled id, where the system provides one. None for a process
    that has ended, also for a zombie."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace")
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # state and start time
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return None
    except (OSError, OverflowError):
        pass
    return "alive"
