"""The users of the gateway: a file with one line for each, a name and the SHA-256 of the token.

The gateway never stores a token. The file is read again on SIGHUP, so that users are added and removed while it runs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from starcoder_ls.errors import SettingsError
from starcoder_ls.private_files import append_line, read_or_create_token, read_private_text

_LINE = re.compile(r"(?P<name>[A-Za-z0-9._@-]{1,64}):(?P<hash>[0-9a-f]{64})")
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")


class Users:
    """The users in ``file``. Raises SettingsError if the file is not private or has another format."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, int, int] | None = None
        self._names: dict[str, str] = {}
        self.reload()

    def find(self, token: str) -> str | None:
        """The name of the user with ``token``."""
        return self._names.get(hash_token(token))

    def reload(self) -> None:
        """Read the file if it has changed. Raises SettingsError, and the users stay as they were."""
        try:
            status = self._file.stat()
        except OSError as error:
            raise SettingsError(f"The users' file {self._file} cannot be read: {error.strerror}.") from error
        version = status.st_ino, status.st_size, status.st_mtime_ns
        if version == self._version:
            return
        names: dict[str, str] = {}
        for number, line in enumerate(read_private_text(self._file).splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            if (match := _LINE.fullmatch(line.strip())) is None:
                raise SettingsError(
                    f"{self._file}, line {number}, is not NAME:SHA256. Add users with `gateway add-user`."
                )
            names[match["hash"]] = match["name"]
        self._names, self._version = names, version


def hash_token(token: str) -> str:
    """SHA-256 in hexadecimal. Tokens have 256 random bits, so that no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def add_user(file: Path, name: str) -> str:
    """Add ``name`` to ``file``, which is made if it does not exist, and return the new token, which is not stored.

    Raises SettingsError for an invalid name or one that exists.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} is no name: use up to 64 letters, digits and . _ @ -")
    if file.exists() and any(line.startswith(f"{name}:") for line in read_private_text(file).splitlines()):
        raise SettingsError(f"There is a user {name} already. Remove the line from {file} to withdraw the token.")
    token = secrets.token_urlsafe(32)
    append_line(file, f"{name}:{hash_token(token)}")
    return token


def salt_of(site_secret: bytes, user: str) -> str:
    """The salt of the user's prefix cache: no user can find out, by timing, what another one's prompts contain."""
    return hmac.new(site_secret, user.encode(), hashlib.sha256).hexdigest()


def session_of(site_secret: bytes, user: str, session: str) -> str:
    """The name of a user's document for replicas: it says nothing about either, and is the same in all gateways."""
    return hmac.new(site_secret, f"{user}\n{session}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


def read_or_create_secret(file: Path) -> bytes:
    """The site secret, which all gateways of a site share. Raises SettingsError if the file is not private."""
    text = read_or_create_token(file, "`secret_file`")
    if len(text) < 32:
        raise SettingsError(f"The secret in {file} is shorter than 32 characters. Delete the file; a new one is made.")
    return os.fsencode(text)
