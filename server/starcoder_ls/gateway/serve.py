"""Runs the gateway until a signal arrives; SIGHUP reads the list of replicas and the users again."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn

from starcoder_ls.errors import SettingsError
from starcoder_ls.gateway import gateway_settings
from starcoder_ls.gateway.application import Gateway
from starcoder_ls.gateway.gateway_settings import GatewaySettings
from starcoder_ls.gateway.replicas import Replicas
from starcoder_ls.gateway.users import Users, read_or_create_secret
from starcoder_ls.http_api.uvicorn_server import UnsignalledServer, listen
from starcoder_ls.private_files import read_token

logger = logging.getLogger(__name__)

_DRAIN_TIMEOUT_S = 30
_MAX_CONNECTIONS = 2000

OnListening = Callable[[str, int], None]


def serve(file: Path, metrics_port: int | None, on_listening: OnListening) -> int:
    """Serve until SIGTERM or SIGINT; answers that run get up to 30 s to end. Returns the exit code 0.

    Raises SettingsError.
    """
    settings = gateway_settings.load(file)
    token = read_token(settings.replica_token_file, "`replica_token_file`") if settings.replica_token_file else ""
    users, secret = Users(settings.users_file), read_or_create_secret(settings.secret_file)
    return asyncio.run(_serve(file, settings, users, secret, token, metrics_port, on_listening))


async def _serve(
    file: Path,
    settings: GatewaySettings,
    users: Users,
    secret: bytes,
    token: str,
    metrics_port: int | None,
    on_listening: OnListening,
) -> int:
    replicas = Replicas(settings.replicas, token, settings.load_factor, settings.answer_timeout_s)
    gateway = Gateway.create(settings, users, replicas, secret)
    servers = {UnsignalledServer(_config(gateway.application(), settings)): listen(settings.host, settings.port)}
    if metrics_port is not None:
        config = uvicorn.Config(gateway.metrics_application(), log_config=None, access_log=False, lifespan="off")
        servers[UnsignalledServer(config)] = listen("127.0.0.1", metrics_port)

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    if sys.platform != "win32":
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, reload, file, gateway)
    on_listening(settings.host, settings.port)
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers.items()))
    return 0


def reload(file: Path, gateway: Gateway) -> None:
    """Take the replicas and users from the files as they are now; a file with an error changes nothing."""
    try:
        settings = gateway_settings.load(file)
        gateway.users.reload()
    except SettingsError as error:
        logger.error("%s Nothing was changed.", error)
        return
    gateway.replicas.update(settings.replicas)
    logger.info("%d replicas", len(settings.replicas))


def _config(app: object, settings: GatewaySettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=_DRAIN_TIMEOUT_S,
    )
