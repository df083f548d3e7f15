"""``starcoder-ls serve``: the language server over standard input and output, or over loopback TCP."""

from __future__ import annotations

import contextlib
import io
import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any

import platformdirs

from starcoder_ls import __version__, settings
from starcoder_ls.app import Server
from starcoder_ls.commands import stats
from starcoder_ls.errors import SettingsError
from starcoder_ls.generation import Engine
from starcoder_ls.lsp import stdio
from starcoder_ls.lsp import tcp as loopback

_LOG_BYTES, _LOG_FILES = 1_000_000, 3

logger = logging.getLogger(__name__)


def run(overlay: dict[str, Any], file: Path | None, tcp: str | None) -> int:
    """Serve until the client leaves or a signal comes; the exit code LSP asks for."""
    chosen = settings.load(overlay, file=file)
    write_log(chosen.log.level)
    logger.info("starcoder-ls %s serves %s", __version__, "tcp" if tcp else "stdio")
    server = Server(engine_for, chosen)
    with stats.kept(server.metrics):
        return _serve(server, tcp)


def _serve(server: Server, tcp: str | None) -> int:
    if tcp is None:
        return stdio.serve(server)
    host, _, port = tcp.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise SettingsError(f"{tcp!r} is not [HOST:]PORT. Write for example 127.0.0.1:7070, or 0 for a free port.")
    return loopback.serve(server, host, int(port), _say)


def log_file() -> Path:
    """Where the server's log lies; rotated at 1 MB, three old ones kept."""
    return Path(platformdirs.user_log_dir("starcoder-ls", appauthor=False)) / "server.log"


def write_log(level: str, is_detached: bool = False) -> None:
    """To standard error, unless nobody reads it, and to a file of this user's alone, where that can be."""
    logging.raiseExceptions = False  # an editor that is gone must not turn its closed pipe into a loop of errors
    handlers: list[logging.Handler] = [] if is_detached else [logging.StreamHandler(sys.stderr)]
    with contextlib.suppress(OSError):
        path = log_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handlers.append(_PrivateFile(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8"))
    line = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level.upper(), handlers=handlers, format=line)
    for chatty in ("pygls", "asyncio", "httpx", "urllib3", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Only this user may read it, after a rotation too."""

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)


def engine_for(chosen: settings.Settings) -> Engine:
    from starcoder_ls.engine.local_engine import LocalEngine

    return LocalEngine(chosen.model, chosen.resident_adapters())


def _say(host: str, port: int, token_file: Path) -> None:
    """On standard error: how a client gets in."""
    print(
        f"listening on {host}:{port}; clients send the token in {token_file} as initializationOptions.token",
        file=sys.stderr,
        flush=True,
    )
