"""``starcoder-ls serve``: the language server over standard input and output, or over loopback TCP.

Windows that share a daemon do not come here: ``__main__`` runs ``daemon.forwarder`` for them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starcoder_ls import __version__, settings, settings_toml
from starcoder_ls.app import Server
from starcoder_ls.commands.support import metrics_files
from starcoder_ls.commands.support.engine_factory import LocalEngineFactory
from starcoder_ls.commands.support.log_file import configure_logging
from starcoder_ls.errors import SettingsError
from starcoder_ls.lsp import stdio
from starcoder_ls.lsp import tcp as loopback
from starcoder_ls.session.settings_recovery import InvalidSettings

logger = logging.getLogger(__name__)


def run(read_options: Callable[[], dict[str, Any]], settings_file: Path | None, tcp: str | None) -> int:
    """Serve until the client disconnects or a signal arrives, and return the exit code that LSP demands.

    ``read_options`` returns the settings tree of the command line options; it may need the settings file. Raises
    SettingsError with ``tcp``. An editor, which would show only that its server ended, gets the message as status.
    """
    invalid = None
    try:
        config = _load(read_options, settings_file)
    except SettingsError as error:
        if tcp is not None:
            raise
        config = settings.Settings()
        file = settings_file or settings_toml.settings_file()
        invalid = InvalidSettings(str(error), file, lambda: _load(read_options, settings_file))
    configure_logging(config.log.level)
    logger.info("starcoder-ls %s serves %s", __version__, "tcp" if tcp else "stdio")
    if invalid is not None:
        logger.error("%s", invalid.message)
    server = Server(LocalEngineFactory(), config, invalid, settings_file)
    with metrics_files.recorded(server.metrics):
        return stdio.serve(server) if tcp is None else _serve_tcp(server, tcp)


def _load(read_options: Callable[[], dict[str, Any]], settings_file: Path | None) -> settings.Settings:
    """Raises SettingsError."""
    return settings.load(read_options(), file=settings_file)


def _serve_tcp(server: Server, address: str) -> int:
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise SettingsError(f"{address!r} is not [HOST:]PORT. Write for example 127.0.0.1:7070, or 0 for a free port.")
    return loopback.serve(server, host, int(port), _print_address)


def _print_address(host: str, port: int, token_file: Path) -> None:
    print(
        f"listening on {host}:{port}; clients send the token in {token_file} as initializationOptions.token",
        file=sys.stderr,
        flush=True,
    )
