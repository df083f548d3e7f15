"""What the files ``.starcoderignore`` and ``.gitignore`` say about a path, at every level from its repository down.

An ignore file that cannot be read or evaluated excludes its whole folder, and is reported once: it may name secrets.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.context.file_reader import read_file
from starcoder_ls.gitignore.patterns import MAX_BYTES, MAX_COST, IgnorePatterns, PatternsTooComplex

logger = logging.getLogger(__name__)

IGNORE_FILE = ".starcoderignore"
GIT_FILE = ".gitignore"
RULE_FILES = frozenset({IGNORE_FILE, GIT_FILE})
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
_MAX_CACHED = 4096
_MAX_CACHED_BYTES = 32 * 1024 * 1024
"""Of parsed ignore files."""

_Chain = tuple[tuple[int, IgnorePatterns], ...]
"""The ignore files of one name that apply in a folder, the nearest first, and where paths relative to each begin."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """The rules for what is in a folder. ``is_included``: a ``.starcoderignore`` includes the folder."""

    reason: str | None = None
    is_included: bool = False
    own_files: _Chain = ()
    git_files: _Chain = ()

    def decide(self, path: str, is_folder: bool) -> tuple[str | None, bool]:
        """Why ``path``, directly in this folder, is excluded, and whether a ``.starcoderignore`` includes it."""
        if self.reason is not None:
            return self.reason, False
        is_ignored = _match(self.own_files, path, is_folder)
        if is_ignored or (is_ignored is None and not self.is_included and _match(self.git_files, path, is_folder)):
            return f"{IGNORE_FILE if is_ignored else GIT_FILE} names it", False
        return None, is_ignored is False or self.is_included


class IgnoreFiles:
    """The ignore files of all folders. Each is tested for changes ``max_age_s`` after it was last tested."""

    def __init__(self, clock: Callable[[], float], max_age_s: float) -> None:
        self._clock, self._max_age_s = clock, max_age_s
        self._folders: dict[tuple[str, Path | None], tuple[float, _Folder]] = {}
        self._patterns: dict[str, tuple[int, IgnorePatterns | str | None]] = {}
        self._patterns_bytes = 0
        self._repositories: dict[str, tuple[float, str | None]] = {}
        self._reported: set[str] = set()

    def exclusion_reason(self, path: Path, is_folder: bool, root: Path | None) -> str | None:
        """Why ignore files exclude ``path``, or None. ``root`` is its workspace folder; files above do not count,
        except each ``.gitignore`` up to the repository's folder."""
        return self._folder(path.parent, root).decide(str(path), is_folder)[0]

    def expire(self) -> None:
        """Test all ignore files for changes when they are needed next."""
        self._folders.clear()

    def _folder(self, folder: Path, root: Path | None) -> _Folder:
        now_s = self._clock()
        key = (str(folder), root)
        cached = self._folders.get(key)
        if cached and now_s - cached[0] < self._max_age_s:
            return cached[1]
        repository = self._repository(folder)
        top = str(root) if root else repository or key[0]
        git_top = repository if repository and _is_in(top, repository) else top
        parents = [parent for parent in (folder, *folder.parents) if _is_in(str(parent), git_top)]
        if len(self._folders) + len(parents) >= _MAX_CACHED:
            self._folders.clear()
        rules = _Folder()
        for parent in reversed(parents):
            parent_key = (str(parent), root)
            cached = self._folders.get(parent_key)
            if cached and now_s - cached[0] < self._max_age_s:
                rules = cached[1]
                continue
            reason, is_included = rules.decide(parent_key[0], True) if parent is not parents[-1] else (None, False)
            rules = self._read_folder(parent_key[0], rules, reason, is_included, has_own=_is_in(parent_key[0], top))
            self._folders[parent_key] = now_s, rules
        return rules

    def _read_folder(
        self, folder: str, above: _Folder, reason: str | None, is_included: bool, has_own: bool
    ) -> _Folder:
        """The rules in ``folder``, which the rules ``above`` exclude for ``reason``."""
        if reason is not None:
            return _Folder(reason)
        chains = []
        for name, chain in ((IGNORE_FILE, above.own_files), (GIT_FILE, above.git_files)):
            file = os.path.join(folder, name)
            patterns = self._read_patterns(file) if name == GIT_FILE or has_own else None
            if isinstance(patterns, IgnorePatterns):
                chain = ((len(os.path.join(folder, "")), patterns), *chain)
                if sum(each.cost for _, each in chain) > MAX_COST or sum(each.bytes for _, each in chain) > MAX_BYTES:
                    patterns = self._report(file, "with those above it, it has too many patterns")
            if isinstance(patterns, str):
                return _Folder(patterns)
            chains.append(chain)
        return _Folder(None, is_included, chains[0], chains[1])

    def _read_patterns(self, file: str) -> IgnorePatterns | str | None:
        """The patterns of an ignore file; None if it is missing; the reason if it excludes its folder."""
        try:
            modified_ns = os.stat(file).st_mtime_ns
        except (OSError, ValueError) as error:
            self._forget(file)
            is_missing = getattr(error, "errno", None) in _MISSING
            return None if is_missing else self._report(file, getattr(error, "strerror", "") or "its name is not valid")
        cached = self._patterns.get(file)
        if cached and cached[0] == modified_ns:
            return cached[1]
        patterns: IgnorePatterns | str | None
        try:
            patterns = IgnorePatterns(read_file(file, MAX_BYTES))
        except PatternsTooComplex as error:
            patterns = self._report(file, str(error))
        except OSError as error:
            patterns = None if error.errno in _MISSING else self._report(file, error.strerror or "it is unreadable")
        self._forget(file)
        self._patterns_bytes += _size(patterns)
        if len(self._patterns) >= _MAX_CACHED or self._patterns_bytes > _MAX_CACHED_BYTES:
            self._patterns.clear()
            self._folders.clear()  # they have the patterns too
            self._patterns_bytes = _size(patterns)
        self._patterns[file] = modified_ns, patterns
        return patterns

    def _forget(self, file: str) -> None:
        if (known := self._patterns.pop(file, None)) is not None:
            self._patterns_bytes -= _size(known[1])

    def _report(self, file: str, problem: str) -> str:
        """Log the problem, for each file once. Returns the reason that excludes its folder."""
        if file not in self._reported and len(self._reported) < _MAX_CACHED:
            self._reported.add(file)
            logger.warning("%s cannot be evaluated (%s): its folder is excluded from prompts", file, problem)
        return f"{os.path.basename(file)} cannot be evaluated ({problem})"

    def _repository(self, folder: Path) -> str | None:
        """The nearest folder at or above ``folder`` that contains ``.git``."""
        now_s = self._clock()
        unknown = []
        repository = None
        for parent in (folder, *folder.parents):
            cached = self._repositories.get(str(parent))
            if cached and now_s - cached[0] < self._max_age_s:
                repository = cached[1]
                break
            unknown.append(str(parent))
            if os.path.exists(parent / ".git"):
                repository = str(parent)
                break
        if len(self._repositories) + len(unknown) >= _MAX_CACHED:
            self._repositories.clear()
        self._repositories.update((parent, (now_s, repository)) for parent in unknown)
        return repository


def _size(patterns: IgnorePatterns | str | None) -> int:
    return patterns.memory_bytes if isinstance(patterns, IgnorePatterns) else 0


def find_repository(folder: Path) -> Path:
    """The nearest folder at or above ``folder`` that contains ``.git``; ``folder`` itself if there is none."""
    return next((parent for parent in (folder, *folder.parents) if os.path.exists(parent / ".git")), folder)


def _match(chain: _Chain, path: str, is_folder: bool) -> bool | None:
    """What the nearest ignore file that matches ``path`` says."""
    for start, patterns in chain:
        is_ignored = patterns.match(path[start:].replace(os.sep, "/"), is_folder)
        if is_ignored is not None:
            return is_ignored
    return None


def _is_in(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or in it."""
    return path == folder or path.startswith(os.path.join(folder, ""))
