"""Tracebacks of a daemon that hangs or crashes in C: its standard error is no terminal, so they go to a file.

``faulthandler`` writes them without the interpreter, which may be what hangs. The next daemon moves them to the log;
until then ``starcoder-ls logs`` prints them after it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from starcoder_ls.commands.support.log_file import indent, log_file
from starcoder_ls.daemon.liveness import TRACEBACK_SIGNAL

logger = logging.getLogger(__name__)

_PREFIX, _SUFFIX = "traceback-", ".txt"
_MAX_BYTES = 64 * 1024
"""``faulthandler`` writes at most 100 frames of each thread."""


_TITLE = "process %d crashed or did not respond; this is what its threads did:"


def log_ended() -> None:
    """Log what processes wrote that have ended, and delete their files."""
    for process_id, path, text in _reports():
        if text:
            details = (logger.name, logging.ERROR, "", 0, _TITLE, (process_id,), None)
            logger.handle(logger.makeRecord(*details, sinfo=text.rstrip()))
        with contextlib.suppress(OSError):
            path.unlink()


def open_file() -> BinaryIO | None:
    """Let ``faulthandler`` write to a file of this process when it crashes or gets TRACEBACK_SIGNAL.

    Returns the file, for ``faulthandler.dump_traceback_later``; it stays open, since the end of the process may hang
    too. None if it cannot be created.
    """
    try:
        path = log_file().with_name(f"{_PREFIX}{os.getpid()}{_SUFFIX}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    except OSError as error:
        logger.info("there will be no tracebacks of a hang: %s", error)
        return None
    file = os.fdopen(descriptor, "wb", buffering=0)
    faulthandler.enable(file)
    faulthandler.register(TRACEBACK_SIGNAL, file)
    return file


def render() -> str:
    """What processes that have ended wrote and no later one has logged, in the format of the log."""
    return "".join(f"{_TITLE % process_id}\n{indent(text.rstrip())}\n" for process_id, _, text in _reports() if text)


def _reports() -> Iterator[tuple[int, Path, str]]:
    """Process, file and text of each process that has ended."""
    for path in sorted(log_file().parent.glob(f"{_PREFIX}*{_SUFFIX}")):
        number = path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        if number.isdecimal() and (int(number) == os.getpid() or not psutil.pid_exists(int(number))):
            with contextlib.suppress(OSError), path.open("rb") as file:
                yield int(number), path, file.read(_MAX_BYTES).decode("ascii", "replace")
