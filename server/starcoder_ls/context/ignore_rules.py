"""Which files never reach a prompt: by ignore files at every level, the user's settings, or a secret-looking name.

Decides with a reason for the user. Reads no files but the ignore files.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".starcoderignore"
_MAX_AGE_S = 1.0
_MAX_CACHED = 4096

_SECRET_FOLDERS = frozenset({".aws", ".azure", ".gcp", ".gcloud", ".kube", ".docker", ".ssh", ".gnupg", ".gpg",
                             ".secrets", ".private", ".password-store"})  # fmt: skip
_SECRET_FOLDERS_IN_WORKSPACE = frozenset({"secrets", "credentials", "certs", "certificates"})
"""The path of the workspace itself may contain these names: they count below the workspace folder only."""

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
"""Based on Continue's list, without names that are rarely secrets (``config.json``, ``settings.json``, ``keys/``)."""


class IgnoreRules:
    """The ignore rules of one client. Results and ignore files are cached for a second.

    ``patterns`` are those of the settings, as in a .gitignore, relative to each of ``roots``. They come first: with
    ``!`` they include what the other rules exclude. Then come names, ``.starcoderignore``, ``.gitignore``. ``clock`` is
    monotonic, in seconds.
    """

    def __init__(
        self,
        roots: Sequence[Path] = (),
        patterns: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.roots = tuple(roots)
        self._clock = clock
        self._patterns = _compile_patterns(patterns)
        self._reasons: dict[tuple[str, bool], tuple[float, str | None]] = {}
        self._specs: dict[Path, tuple[float, int, GitIgnoreSpec | None]] = {}
        self._repositories: dict[Path, tuple[float, Path]] = {}

    def exclusion_reason(self, path: Path, is_folder: bool = False) -> str | None:
        """Why ``path`` is excluded from every prompt; None if it is not. For a link, its target must be allowed too."""
        key = (str(path), is_folder)
        now_s = self._clock()
        if (cached := self._reasons.get(key)) and now_s - cached[0] < _MAX_AGE_S:
            return cached[1]
        reason = self._find_reason(path, is_folder)
        if reason is None and not is_folder:
            target = Path(os.path.realpath(path))
            reason = self._find_reason(target, is_folder) if target != path else None
        if len(self._reasons) >= _MAX_CACHED:
            self._reasons.clear()
        self._reasons[key] = now_s, reason
        return reason

    def exclusion_reason_of_document(self, uri: str, path: str) -> str | None:
        """The same for a document. ``path`` is empty if it is not a file; then the name in its URI counts."""
        cached = self._reasons.get((path, False))  # called four times at each key: without creating a Path
        if path and cached and self._clock() - cached[0] < _MAX_AGE_S:
            return cached[1]
        return self.exclusion_reason(Path(path or unquote(urlsplit(uri).path) or "/untitled"))

    def _find_reason(self, path: Path, is_folder: bool) -> str | None:
        root = next((root for root in self.roots if path.is_relative_to(root)), None)
        relative = path.relative_to(root) if root else path.relative_to(path.anchor)
        is_ignored = _matches(self._patterns, relative.as_posix(), is_folder)
        if is_ignored is not None:
            return "`context.ignore` names it" if is_ignored else None
        if root is None or relative.parts:
            secret = _find_secret_name(path.parts, relative.parts)
            if secret:
                return f"`{secret}` looks like a secret"
        top = root or self._repository(path.parent)
        if path == top or not path.is_relative_to(top):
            return None
        if reason := self.exclusion_reason(path.parent, is_folder=True):
            return reason
        for name in (IGNORE_FILE, ".gitignore"):
            is_ignored = self._is_ignored_by_files(path, top, name, is_folder)
            if is_ignored is not None:
                return f"{name} names it" if is_ignored else None
        return None

    def _is_ignored_by_files(self, path: Path, top: Path, name: str, is_folder: bool) -> bool | None:
        """What the nearest ignore file that matches ``path`` says; None if none matches.

        Files ``.gitignore`` above the workspace count up to the repository's folder.
        """
        folder = path.parent
        repository = self._repository(path.parent) if name == ".gitignore" else top
        last = repository if top.is_relative_to(repository) else top
        while True:
            spec = self._spec(folder / name)
            if spec is not None:
                is_ignored = _matches(spec, path.relative_to(folder).as_posix(), is_folder)
                if is_ignored is not None:
                    return is_ignored
            if folder in (last, folder.parent):
                return None
            folder = folder.parent

    def _repository(self, folder: Path) -> Path:
        """``find_repository`` with a cache."""
        now_s = self._clock()
        cached = self._repositories.get(folder)
        if cached and now_s - cached[0] < _MAX_AGE_S:
            return cached[1]
        repository = find_repository(folder)
        if len(self._repositories) >= _MAX_CACHED:
            self._repositories.clear()
        self._repositories[folder] = now_s, repository
        return repository

    def _spec(self, file: Path) -> GitIgnoreSpec | None:
        """The patterns of an ignore file; None if it is missing or unreadable."""
        now_s = self._clock()
        cached = self._specs.get(file)
        if cached and now_s - cached[0] < _MAX_AGE_S:
            return cached[2]
        try:
            modified_ns = file.stat().st_mtime_ns
            if cached and cached[1] == modified_ns:
                spec = cached[2]
            else:
                spec = _compile_patterns(file.read_text(encoding="utf-8", errors="replace").splitlines())
        except (OSError, ValueError):
            modified_ns, spec = 0, None
        if len(self._specs) >= _MAX_CACHED:
            self._specs.clear()
        self._specs[file] = now_s, modified_ns, spec
        return spec


def find_repository(folder: Path) -> Path:
    """The nearest folder at or above ``folder`` that contains ``.git``; ``folder`` itself if there is none."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def _compile_patterns(lines: Iterable[str]) -> GitIgnoreSpec:
    """Invalid lines are skipped: the other patterns may keep secrets."""
    valid = []
    for line in lines:
        with contextlib.suppress(ValueError):
            GitIgnoreSpec.from_lines([line])
            valid.append(line)
    return GitIgnoreSpec.from_lines(valid)


def _matches(spec: GitIgnoreSpec, path: str, is_folder: bool) -> bool | None:
    """True if ``path`` is excluded, False if a pattern with ``!`` includes it, None if no pattern matches."""
    return spec.check_file(f"{path}/" if is_folder else path).include


def _find_secret_name(parts: Sequence[str], relative_parts: Sequence[str]) -> str | None:
    """The first secret-looking name in a path; ``relative_parts`` are those below the workspace folder."""
    for part in parts[:-1]:
        if part.lower() in _SECRET_FOLDERS:
            return part
    for part in relative_parts[:-1]:
        if part.lower() in _SECRET_FOLDERS_IN_WORKSPACE or _SECRET_NAME.fullmatch(part.lower()):
            return part
    name = relative_parts[-1] if relative_parts else ""
    return name if name.lower() in _SECRET_FOLDERS or _SECRET_NAME.fullmatch(name.lower()) else None
