"""That a window's process ends with its editor even where the pipe stays open, as after a fork of somebody's.

Decides when an editor counts as gone. Refuses to know what ends. As ``transport.watchdog``, without psutil's price.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.5


def watch_editor(process_id: object, gone: Callable[[], None]) -> None:
    """Call ``gone``, from a thread, once that process has ended. One that is not visible here is not watched."""
    if type(process_id) is not int or process_id <= 0 or (birth := _life(process_id)) is None:
        return
    threading.Thread(target=_watch, args=(process_id, birth, gone), name="editor-watch", daemon=True).start()


def _watch(process_id: int, birth: str, gone: Callable[[], None]) -> None:
    while _life(process_id) == birth:
        time.sleep(POLL_S)
    gone()


def _life(process_id: int) -> str | None:
    """Something that a recycled id does not share, where the system tells; None for what has ended, zombies too."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace")
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
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
