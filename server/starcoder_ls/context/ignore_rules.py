"""Which files never reach a prompt: by ignore rules at every level, by the user's list, or by a name that says secret.

Decides, and says why in a few words. Refuses to read any file but the rules themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pathspec import GitIgnoreSpec

OWN_FILE = ".starcoderignore"
_FRESH_S = 1.0
_MOST_REMEMBERED = 4096

_SECRET_FOLDERS = frozenset({".aws", ".azure", ".gcp", ".gcloud", ".kube", ".docker", ".ssh", ".gnupg", ".gpg",
                             ".secrets", ".private", ".password-store"})  # fmt: skip
_SECRET_INSIDE = frozenset({"secrets", "credentials", "certs", "certificates"})
"""Words that a project's own path may hold: these count below the workspace folder only."""

_SECRET_NAME = re.compile(
    r"""\.env(rc)?(\..*)?|.*\.env(\..*)?
    |.*\.(key|pem|p12|pfx|p8|pkcs12|crt|cer|der|jks|keystore|truststore|ppk|gpg|asc|kdbx|secrets?|token|tfvars|tfstate)
    |id_(rsa|dsa|ecdsa|ed25519|ed25519_sk|ecdsa_sk)(\..*)?
    |\.?(netrc|pgpass|htpasswd|dockercfg|git-credentials)|_netrc|\.npmrc|\.pypirc|\.s3cfg|kubeconfig
    |(credentials?|secrets?)(\.(json|ya?ml|toml|ini|cfg|conf|xml|properties|txt))?
    |auth\.json|(service[-_]account|client_secret)[^.]*\.json
    |appsettings\..*\.json|local\.settings\.json""",
    re.VERBOSE,
)
"""After Continue's list, without what mostly is no secret (``config.json``, ``settings.json``, ``keys/``)."""


class IgnoreRules:
    """The ignore rules of one client. Files of rules are looked at again when they are older than a second.

    ``listed`` are the user's own patterns, as in a .gitignore and relative to each of ``roots``. They come first: with
    ``!`` they let in what the other rules keep out. Then names, ``.starcoderignore``, ``.gitignore``.
    """

    def __init__(self, roots: Sequence[Path] = (), listed: Sequence[str] = ()) -> None:
        self.roots = tuple(roots)
        self._listed = _spec_of(listed)
        self._verdicts: dict[tuple[str, bool], tuple[float, str | None]] = {}
        self._specs: dict[Path, tuple[float, int, GitIgnoreSpec | None]] = {}
        self._repositories: dict[Path, tuple[float, Path]] = {}

    def reason(self, path: Path, is_folder: bool = False) -> str | None:
        """Why ``path`` is kept from every prompt, or None. A link is what it points to as well."""
        key = (str(path), is_folder)
        now = time.monotonic()
        if (known := self._verdicts.get(key)) and now - known[0] < _FRESH_S:
            return known[1]
        why = self._reason(path, is_folder)
        if why is None and not is_folder:
            real = Path(os.path.realpath(path))
            why = self._reason(real, is_folder) if real != path else None
        if len(self._verdicts) >= _MOST_REMEMBERED:
            self._verdicts.clear()
        self._verdicts[key] = now, why
        return why

    def reason_of_uri(self, uri: str, path: str) -> str | None:
        """The same for a document: ``path`` is empty for what is no file, and then its name still counts."""
        known = self._verdicts.get((path, False))  # asked four times at each key: no Path is made for it
        if path and known and time.monotonic() - known[0] < _FRESH_S:
            return known[1]
        return self.reason(Path(path or unquote(urlsplit(uri).path) or "/untitled"))

    def _reason(self, path: Path, is_folder: bool) -> str | None:
        root = next((root for root in self.roots if path.is_relative_to(root)), None)
        inside = path.relative_to(root) if root else path.relative_to(path.anchor)
        listed = _verdict(self._listed, inside.as_posix(), is_folder)
        if listed is not None:
            return "`context.ignore` names it" if listed else None
        if root is None or inside.parts:
            secret = _secret_part(path.parts, inside.parts)
            if secret:
                return f"`{secret}` looks like a secret"
        top = root or self._repository(path.parent)
        if path == top or not path.is_relative_to(top):
            return None
        if why := self.reason(path.parent, is_folder=True):
            return why
        for name in (OWN_FILE, ".gitignore"):
            ignored = self._by_files(path, top, name, is_folder)
            if ignored is not None:
                return f"{name} names it" if ignored else None
        return None

    def _by_files(self, path: Path, top: Path, name: str, is_folder: bool) -> bool | None:
        """The nearest file of rules that says something about ``path``; a repository goes on above a workspace."""
        folder = path.parent
        repository = self._repository(path.parent) if name == ".gitignore" else top
        last = repository if top.is_relative_to(repository) else top
        while True:
            spec = self._spec(folder / name)
            if spec is not None:
                said = _verdict(spec, path.relative_to(folder).as_posix(), is_folder)
                if said is not None:
                    return said
            if folder in (last, folder.parent):
                return None
            folder = folder.parent

    def _repository(self, folder: Path) -> Path:
        """``repository_of``, looked at again when older than a second."""
        now = time.monotonic()
        known = self._repositories.get(folder)
        if known and now - known[0] < _FRESH_S:
            return known[1]
        found = repository_of(folder)
        if len(self._repositories) >= _MOST_REMEMBERED:
            self._repositories.clear()
        self._repositories[folder] = now, found
        return found

    def _spec(self, file: Path) -> GitIgnoreSpec | None:
        now = time.monotonic()
        known = self._specs.get(file)
        if known and now - known[0] < _FRESH_S:
            return known[2]
        try:
            stamp = file.stat().st_mtime_ns
            if known and known[1] == stamp:
                spec = known[2]
            else:
                spec = _spec_of(file.read_text(encoding="utf-8", errors="replace").splitlines())
        except (OSError, ValueError):
            stamp, spec = 0, None
        if len(self._specs) >= _MOST_REMEMBERED:
            self._specs.clear()
        self._specs[file] = now, stamp, spec
        return spec


def repository_of(folder: Path) -> Path:
    """The folder at or above ``folder`` that holds ``.git``; without one, ``folder`` itself."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)


def _spec_of(lines: Iterable[str]) -> GitIgnoreSpec:
    """One line that is no pattern must not cost the others: they keep secrets."""
    good = []
    for line in lines:
        with contextlib.suppress(ValueError):
            GitIgnoreSpec.from_lines([line])
            good.append(line)
    return GitIgnoreSpec.from_lines(good)


def _verdict(spec: GitIgnoreSpec, path: str, is_folder: bool) -> bool | None:
    return spec.check_file(f"{path}/" if is_folder else path).include


def _secret_part(parts: Sequence[str], inside: Sequence[str]) -> str | None:
    for part in parts[:-1]:
        if part.lower() in _SECRET_FOLDERS:
            return part
    for part in inside[:-1]:
        if part.lower() in _SECRET_INSIDE or _SECRET_NAME.fullmatch(part.lower()):
            return part
    name = inside[-1] if inside else ""
    return name if name.lower() in _SECRET_FOLDERS or _SECRET_NAME.fullmatch(name.lower()) else None
