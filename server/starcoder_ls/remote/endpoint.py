"""Where a server is and how it is spoken to: URL, token, certificate, and the HTTP client for them.

Decides what is never done: no token in the settings, no plain HTTP beyond this machine, no redirects, no proxy from the
environment.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import httpx2

from starcoder_ls.errors import SettingsError
from starcoder_ls.private_files import read_token
from starcoder_ls.settings import Remote

TOKEN_VARIABLE = "STARCODER_LS_REMOTE_TOKEN"
MAX_TOKEN_CHARS = 4096

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 60.0
"""Between two pieces of a response. Completions have a deadline of their own, which is much shorter."""

MAX_CONNECTIONS, MAX_IDLE_CONNECTIONS, IDLE_EXPIRY_S = 32, 4, 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server. ``token`` is sent as a bearer token unless it is empty; it is not part of ``repr``."""

    url: str
    token: str = field(default="", repr=False)
    ca_file: str = ""

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc


def read_endpoint(remote: Remote, environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint that the settings describe.

    The token comes from `remote.token_file`, else from the environment variable STARCODER_LS_REMOTE_TOKEN. Raises
    SettingsError for an invalid URL, plain HTTP to another machine, a token file that others can read, and a
    certificate file that cannot be read.
    """
    parts = urlsplit(remote.url)
    has_more = parts.username or parts.query or parts.fragment or not has_valid_port(parts)
    if parts.scheme not in ("http", "https") or not parts.hostname or has_more:
        raise SettingsError(f"`remote.url` is {remote.url!r:.100}. Write it as https://HOST[:PORT].")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingsError(
            f"`remote.url` would send code to {parts.hostname} without encryption. Use https://, or a tunnel to this "
            "machine."
        )
    token = read_token(Path(remote.token_file).expanduser(), "`remote.token_file`") if remote.token_file else ""
    token = token or environment.get(TOKEN_VARIABLE, "").strip()
    if len(token) > MAX_TOKEN_CHARS or not (token.isascii() and token.isprintable()) or " " in token:
        raise SettingsError("The token for `remote.url` is no single word of ASCII letters, digits and signs.")
    return Endpoint(remote.url.rstrip("/"), token, str(Path(remote.ca_file).expanduser()) if remote.ca_file else "")


def has_valid_port(parts: SplitResult) -> bool:
    """Whether the port, if an address names one, is a number that ports have."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_client(endpoint: Endpoint) -> httpx2.AsyncClient:
    """A client with warm connections, for one event loop. Raises SettingsError if the certificates are unreadable."""
    headers = {"accept-encoding": "identity"}  # events are small and read as they come
    if endpoint.token:
        headers["authorization"] = f"Bearer {endpoint.token}"
    return httpx2.AsyncClient(
        base_url=endpoint.url,
        headers=headers,
        verify=_ssl_context(endpoint),
        timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S),
        limits=httpx2.Limits(
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_EXPIRY_S,
        ),
        follow_redirects=False,
        trust_env=False,
    )


def _ssl_context(endpoint: Endpoint) -> ssl.SSLContext | bool:
    """False where nothing is encrypted: reading the certificates of the system takes memory and time."""
    if endpoint.url.startswith("http:"):
        return False
    if not endpoint.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=endpoint.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"`remote.ca_file`, {endpoint.ca_file}, is not readable in PEM format: {error}.") from error
