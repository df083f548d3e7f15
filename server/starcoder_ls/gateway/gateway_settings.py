"""The settings of the gateway, a TOML file of their own: they concern a team's server, not an editor."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from starcoder_ls.errors import SettingsError
from starcoder_ls.remote.endpoint import has_valid_port, is_loopback

_Positive = Annotated[int, Field(ge=1)]


class GatewaySettings(BaseModel):
    """``users_file`` has the hashes of the users' tokens, ``secret_file`` the site secret of the cache salts.
    ``replica_token_file`` has the token that replicas ask for, if they do. All three must be private."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = "127.0.0.1:8443"
    certificate: Path | None = None
    key: Path | None = None
    replicas: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    replica_token_file: Path | None = None
    users_file: Path
    secret_file: Path

    max_body_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024
    max_prompt_tokens: _Positive = 8192
    max_new_tokens: _Positive = 256
    max_candidates: Annotated[int, Field(ge=1, le=16)] = 8
    requests_per_minute: _Positive = 240
    concurrent_requests: _Positive = 8
    """Of one user, over all windows."""

    load_factor: Annotated[float, Field(gt=1.0, le=10.0)] = 1.25
    """How much more than the average load a replica may have before the next one of the ring gets a request."""
    health_interval_s: Annotated[float, Field(gt=0.0)] = 2.0
    answer_timeout_s: Annotated[float, Field(gt=0.0)] = 60.0

    @field_validator("replicas")
    @classmethod
    def _urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            parts = urlsplit(url)
            is_address = parts.scheme in ("http", "https") and parts.hostname and not (parts.username or parts.query)
            if not is_address or not has_valid_port(parts):
                raise ValueError(f"{url!r} is no address such as http://replica-0:8000")
        urls = tuple(url.rstrip("/") for url in urls)
        if len(set(urls)) < len(urls):
            raise ValueError("a replica is named twice")
        return urls

    @model_validator(mode="after")
    def _is_encrypted(self) -> GatewaySettings:
        host, port = self.host, self.listen.rpartition(":")[2]
        if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise ValueError(f"listen: {self.listen!r} is not HOST:PORT")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if self.certificate is None and not is_loopback(host):
            raise ValueError(
                f"code would reach {host} without encryption. Set certificate and key, or listen on 127.0.0.1 behind a "
                "proxy that encrypts"
            )
        return self

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]") or "127.0.0.1"

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def load(file: Path) -> GatewaySettings:
    """Paths in the file are relative to its folder. Raises SettingsError."""
    try:
        tree: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The gateway's settings, {file}, cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file} is no TOML file: {error}.") from error
    for name in ("certificate", "key", "replica_token_file", "users_file", "secret_file"):
        if isinstance(tree.get(name), str):
            tree[name] = file.parent / Path(tree[name]).expanduser()
    try:
        return GatewaySettings.model_validate(tree)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        location = ".".join(map(str, details["loc"]))
        message = details["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{file}: {location + ': ' if location else ''}{message}.") from error
