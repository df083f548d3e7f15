"""The log of servers: to standard error and to a rotating file that only this user can read."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any

from starcoder_ls.printable import escape_control_characters
from starcoder_ls.user_folders import log_folder

_MAX_FILE_BYTES, _MAX_OLD_FILES = 1_000_000, 3
_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_COMMAND_FORMAT = "starcoder-ls: %(message)s"
_MAX_LINE_CHARS = 8_000
_VERBOSE_LIBRARIES = ("pygls", "asyncio", "httpx", "httpx2", "urllib3", "filelock")


def log_file() -> Path:
    """The path of the log file. It is rotated at 1 MB; three old files are kept."""
    return log_folder() / "server.log"


def configure_logging(level: str, has_stderr: bool = True) -> None:
    """Log to standard error, unless the process has none, and to the log file if that can be written."""
    logging.raiseExceptions = False  # an editor that has exited must not turn its closed pipe into endless errors
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if has_stderr else []
    with contextlib.suppress(OSError):
        path = log_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handlers.append(_PrivateFile(path, maxBytes=_MAX_FILE_BYTES, backupCount=_MAX_OLD_FILES, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(EscapingFormatter())
    logging.basicConfig(level=level.upper(), handlers=handlers)
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def log_in_more_detail(level: str) -> None:
    """Lower the minimum severity of logged messages to ``level``, if that is lower."""
    root = logging.getLogger()
    root.setLevel(min(root.level, logging.getLevelNamesMapping()[level.upper()]))


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotating file with mode 600, also after a rotation."""

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)


class EscapingFormatter(logging.Formatter):
    """A record as one line of printable characters, so that no record can imitate another or control a terminal.

    Strings that look like secrets are masked: names and messages of others may contain them. A traceback follows, each
    of its lines behind a bar.
    """

    def __init__(self, format_: str = _FORMAT) -> None:
        super().__init__(format_)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of the record, without its traceback."""
        line = _sanitize(super().formatMessage(record)[: 2 * _MAX_LINE_CHARS])
        return line if len(line) <= _MAX_LINE_CHARS else f"{line[:_MAX_LINE_CHARS]}..."

    def formatException(self, ei: Any) -> str:
        """The traceback."""
        return indent(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """The stack."""
        return indent(stack_info)


def indent(text: str) -> str:
    """The lines of a traceback behind bars, each escaped."""
    return "\n".join(f"    | {_sanitize(line[:_MAX_LINE_CHARS])}" for line in text.split("\n"))


def _sanitize(text: str) -> str:
    from starcoder_ls.context.secrets import mask_secrets  # its import would delay commands that log nothing

    return mask_secrets(escape_control_characters(text))


def configure_last_resort() -> None:
    """Write what a command logs to standard error as its messages are written: escaped, without time and module."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(EscapingFormatter(_COMMAND_FORMAT))
