"""``starcoder-ls serve``: the language server over standard input and output or loopback TCP, or the HTTP API.

Windows that share a daemon do not come here: ``__main__`` runs ``daemon.forwarder`` for them.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starcoder_ls import __version__, settings
from starcoder_ls.app import Server
from starcoder_ls.commands.support import metrics_files
from starcoder_ls.commands.support.engine_factory import ConfiguredEngineFactory, DaemonOrLocalEngineFactory
from starcoder_ls.commands.support.log_file import configure_logging
from starcoder_ls.errors import SettingsError
from starcoder_ls.generation import EngineFactory
from starcoder_ls.lsp import stdio
from starcoder_ls.lsp import tcp as loopback
from starcoder_ls.session.settings_recovery import InvalidSettings
from starcoder_ls.settings import toml_file

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
        file = settings_file or toml_file.settings_file()
        invalid = InvalidSettings(str(error), file, lambda: _load(read_options, settings_file))
    configure_logging(config.log.level)
    logger.info("starcoder-ls %s serves %s", __version__, "tcp" if tcp else "stdio")
    if invalid is not None:
        logger.error("%s", invalid.message)
    server = Server(ConfiguredEngineFactory(), config, invalid, settings_file)
    with metrics_files.recorded(server.metrics):
        return stdio.serve(server) if tcp is None else _serve_tcp(server, tcp)


def _load(read_options: Callable[[], dict[str, Any]], settings_file: Path | None) -> settings.Settings:
    """Raises SettingsError."""
    return settings.load(read_options(), file=settings_file)


def run_http(read_options: Callable[[], dict[str, Any]], settings_file: Path | None, address: str) -> int:
    """Serve the HTTP API until a signal arrives, and return the exit code. Raises SettingsError."""
    from starcoder_ls.commands.support.model_tokenizer import read_model_tokenizer
    from starcoder_ls.http_api import serve  # imports a web framework
    from starcoder_ls.http_api.engine_source import EngineSource

    config = _load(read_options, settings_file)
    configure_logging(config.log.level)
    host, port = split_address(address)
    # A server on another machine may start later: the factory for commands that answer and exit would try once.
    factory: EngineFactory = (
        ConfiguredEngineFactory() if config.remote.url else DaemonOrLocalEngineFactory(is_process_ending=False)
    )
    source = EngineSource(factory, config)
    tokenizer = functools.cache(lambda: read_model_tokenizer(config))
    return serve.serve(source, config, host, port, _print_http_address, tokenizer)


def split_address(address: str) -> tuple[str, int]:
    """Host (may be empty) and port. Raises SettingsError."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise SettingsError(f"{address!r} is not [HOST:]PORT. Write for example 127.0.0.1:7070, or 0 for a free port.")
    return host, int(port)


def _serve_tcp(server: Server, address: str) -> int:
    return loopback.serve(server, *split_address(address), _print_address)


def _print_address(host: str, port: int, token_file: Path) -> None:
    print(
        f"listening on {host}:{port}; clients send the token in {token_file} as initializationOptions.token",
        file=sys.stderr,
        flush=True,
    )


def _print_http_address(host: str, port: int, token_file: Path) -> None:
    name = f"[{host}]" if ":" in host else host
    print(f"listening on http://{name}:{port}; the API key is in {token_file}", file=sys.stderr, flush=True)
