"""Which files never reach a prompt: by ignore files at every level, the user's settings, or a secret-looking name.

Decides with a reason for the user. Reads no files but the ignore files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from starcoder_ls.context.ignore_files import IgnoreFiles
from starcoder_ls.context.secret_names import find_secret_name
from starcoder_ls.gitignore.patterns import IgnorePatterns, PatternsTooComplex

_MAX_AGE_S = 1.0
_MAX_CACHED = 4096
_MAX_PATH_CHARS, _MAX_FOLDERS = 4096, 128


class IgnoreRules:
    """The ignore rules of one client. Results and ignore files are cached for a second, or until ``expire``.

    ``patterns`` are those of the settings, as in a .gitignore, relative to each of ``roots``; the last one that matches
    decides. They come first: with ``!`` they include what the other rules exclude. Then come names,
    ``.starcoderignore``, ``.gitignore``. Rules that exceed the limits of ``gitignore`` exclude everything they could
    exclude. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        roots: Sequence[Path] = (),
        patterns: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.roots = tuple(roots)
        self._clock = clock
        self._problem = ""
        try:
            self._patterns = IgnorePatterns.of_lines(patterns)
        except PatternsTooComplex as error:
            self._patterns, self._problem = IgnorePatterns(b""), str(error)
        self._files = IgnoreFiles(clock, _MAX_AGE_S)
        self._reasons: dict[tuple[str, bool], tuple[float, str | None]] = {}

    def exclusion_reason(self, path: Path, is_folder: bool = False) -> str | None:
        """Why ``path`` is excluded from every prompt; None if it is not. For a link, its target must be allowed too."""
        key = (str(path), is_folder)
        now_s = self._clock()
        if (cached := self._reasons.get(key)) and now_s - cached[0] < _MAX_AGE_S:
            return cached[1]
        reason = self._find_reason(path, is_folder, self.roots)
        if reason is None and not is_folder:
            reason = self._find_reason_of_target(path)
        if len(self._reasons) >= _MAX_CACHED:
            self._reasons.clear()
        if len(key[0]) <= _MAX_PATH_CHARS:
            self._reasons[key] = now_s, reason
        return reason

    def exclusion_reason_of_document(self, uri: str, path: str) -> str | None:
        """The same for a document. ``path`` is empty if it is not a file; then the name in its URI counts."""
        cached = self._reasons.get((path, False))  # called four times at each key: without creating a Path
        if path and cached and self._clock() - cached[0] < _MAX_AGE_S:
            return cached[1]
        return self.exclusion_reason(Path(path or _name_of_uri(uri)))

    def expire(self) -> None:
        """An ignore file has changed: from now on the new rules apply."""
        self._files.expire()
        self._reasons.clear()

    def _find_reason_of_target(self, path: Path) -> str | None:
        """If a root is a link, files in its target are judged like those in a root."""
        try:
            target = Path(os.path.realpath(path))
            if target == path:
                return None
            roots = (*self.roots, *(Path(os.path.realpath(root)) for root in self.roots))
        except ValueError:  # a NUL, or a character that no path of this system has
            return "its name is not valid"
        return self._find_reason(target, False, roots)

    def _find_reason(self, path: Path, is_folder: bool, roots: Sequence[Path]) -> str | None:
        """If ``roots`` contain each other, names and ignore files count from the outermost on."""
        if len(path.parts) > _MAX_FOLDERS or len(str(path)) > _MAX_PATH_CHARS:
            return "its path is too long"
        if self._problem:
            return f"`context.ignore` cannot be evaluated ({self._problem})"
        containing = sorted((root for root in roots if path.is_relative_to(root)), key=lambda root: len(root.parts))
        root = containing[0] if containing else None
        relative = [path.relative_to(folder) for folder in containing or [Path(path.anchor)]]
        names = [name.as_posix() for name in relative if name.parts]
        is_ignored = self._patterns.match_with_folders(*names, is_folder=is_folder)
        if is_ignored is not None:
            return "`context.ignore` names it" if is_ignored else None
        if root is None or relative[0].parts:
            secret = find_secret_name(path.parts, relative[0].parts, is_folder)
            if secret:
                return f"`{secret}` looks like a secret"
        if path in (root, path.parent):
            return None
        return self._files.exclusion_reason(path, is_folder, root)


def _name_of_uri(uri: str) -> str:
    """The path in a URI that is not that of a file, of characters that paths can have."""
    try:
        name = unquote(urlsplit(uri).path).replace("\0", "")
        os.fsencode(name)
    except ValueError:
        return "/untitled"
    return name or "/untitled"
