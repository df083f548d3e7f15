"""Runs the HTTP API on a loopback address until a signal arrives."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from starcoder_ls.http_api.application import create_application
from starcoder_ls.http_api.engine_source import EngineSource
from starcoder_ls.http_api.uvicorn_server import UnsignalledServer, listen
from starcoder_ls.lsp import tcp, watchdog
from starcoder_ls.private_files import read_or_create_token
from starcoder_ls.settings import Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer
from starcoder_ls.user_folders import state_folder

OnListening = Callable[[str, int, Path], None]
"""Called with host, port and the file that has the API key."""

_MAX_CONNECTIONS = 64
_SHUTDOWN_TIMEOUT_S = 1
_TOKEN_FILE = "http.token"


def serve(
    source: EngineSource,
    settings: Settings,
    host: str,
    port: int,
    on_listening: OnListening,
    read_tokenizer: Callable[[], Tokenizer] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT, close ``source``, and return the exit code of the process, 0.

    ``port`` 0 means a free one. ``on_listening`` is called once clients can connect. ``read_tokenizer`` as in
    ``create_application``.
    Raises SettingsError for a host that is not loopback, a port in use, or an API key that others can read.
    """
    address = tcp.loopback_address(host)
    token_file = state_folder() / _TOKEN_FILE
    token = read_or_create_token(token_file, "the file of the API key")
    listener = listen(address, port)
    on_listening(address, int(listener.getsockname()[1]), token_file)
    source.start()
    application = create_application(source, settings, token, read_tokenizer)
    return asyncio.run(_serve(source, application, listener))


async def _serve(source: EngineSource, application: object, listener: socket.socket) -> int:
    forced_exit = watchdog.ForcedExit()
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
    )
    server = UnsignalledServer(config)

    def stop() -> None:
        forced_exit.arm(0)
        server.should_exit = True

    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve(sockets=[listener])
    forced_exit.arm(0)
    await watchdog.close_in_time(source.close)
    return 0
