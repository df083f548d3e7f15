"""The search index of a workspace, built and updated by a background thread that yields to the user's work.

Decides which files are read when, and how much of a processor that takes. File changes are reported by the client.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from starcoder_ls.context.ignore_files import IGNORE_FILE, RULE_FILES
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.search_index import SearchHit, SearchIndex
from starcoder_ls.context.source_files import is_indexed, is_skipped_folder, read_source_of_family, walk_source_files

logger = logging.getLogger(__name__)

_SLICE_S = 0.02
_NICENESS = 15
_REST_PER_WORK = 1.0
_REST_PER_WORK_WHILE_TYPING = 4.0
_TYPING_S = 1.5


MAX_PENDING_UPDATES, _MAX_PATH_CHARS = 10_000, 1024


class PendingUpdates:
    """Paths that changed, each once. If there are too many, or one is too long, all files are to be read again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paths: dict[Path, None] = {}
        self._events: list[threading.Event] = []
        self._are_too_many = self._is_closed = False

    def add(self, path: Path) -> None:
        with self._changed:
            if len(self._paths) >= MAX_PENDING_UPDATES or len(str(path)) > _MAX_PATH_CHARS:
                self._are_too_many = True
                self._paths.clear()
            if not self._are_too_many:
                self._paths[path] = None
            self._changed.notify()

    def add_event(self, event: threading.Event) -> None:
        """``event`` shall be set when the updates before it have been applied."""
        with self._changed:
            self._events.append(event)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def take(self) -> tuple[list[Path] | None, list[threading.Event]]:
        """Wait for updates or the end. The paths, None for all files; and the events."""
        with self._changed:
            self._changed.wait_for(lambda: self._paths or self._events or self._are_too_many or self._is_closed)
            taken = None if self._are_too_many else list(self._paths), self._events
            self._paths, self._events, self._are_too_many = {}, [], False
            return taken


class WorkspaceIndex:
    """The index of one client's workspace folders. With ``max_files`` 0 it is empty and starts no thread."""

    def __init__(self, rules: IgnoreRules, max_files: int) -> None:
        self.rules = rules
        self._max_files = max_files
        self._index = SearchIndex()
        self._updates = PendingUpdates()
        self._is_closed = threading.Event()
        self._typing_until_s = 0.0
        self._work_s = 0.0
        self.build_complete = threading.Event()
        """Set when all files were read once, or when there is nothing to read."""
        self._thread: threading.Thread | None = None
        if max_files and rules.roots:
            self._thread = threading.Thread(target=self._run, name="context-index", daemon=True)
            self._thread.start()
        else:
            self.build_complete.set()

    def __len__(self) -> int:
        """The number of files in the index."""
        return len(self._index)

    @property
    def work_s(self) -> float:
        """How long the thread has worked, without its rests."""
        return self._work_s

    def search(self, words: Sequence[str], limit: int) -> tuple[list[SearchHit], dict[str, float]]:
        """As ``SearchIndex.search``."""
        return self._index.search(words, limit)

    def notify_typing(self) -> None:
        """The user types: for a while the thread rests more than it works."""
        self._typing_until_s = time.monotonic() + _TYPING_S

    def update(self, paths: Iterable[Path]) -> None:
        """These files, folders or files of ignore rules were changed, created or removed."""
        if self._thread is not None:
            for path in paths:
                self._updates.add(path)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the index has all updates so far; False if that takes longer than ``timeout_s``."""
        if self._thread is None:
            return True
        is_done = threading.Event()
        self._updates.add_event(is_done)
        return is_done.wait(timeout_s)

    def close(self) -> None:
        """The thread ends by itself soon after. Idempotent."""
        self._is_closed.set()
        self._updates.close()
        if self._thread is None:
            self._index.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # only Linux has a niceness for each thread
            if os.uname().sysname == "Linux":
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        try:
            self._build()
            while not self._is_closed.is_set():
                paths, events = self._updates.take()
                self._work_in_slices(self._read_workspace() if paths is None else self._apply_updates(paths))
                for event in events:
                    event.set()
        except Exception as error:  # noqa: BLE001 - without an index there are fewer snippets, and nothing else fails
            logger.error("the workspace is no longer indexed: %s", type(error).__name__)
        finally:
            self.build_complete.set()
            self._index.close()

    def _build(self) -> None:
        started_s = time.monotonic()
        self._work_in_slices(self._read_workspace())
        self.build_complete.set()
        elapsed_s = time.monotonic() - started_s
        logger.info("%d files of the workspace indexed in %.1f s, %.1f s of work", len(self), elapsed_s, self._work_s)

    def _read_workspace(self) -> Iterator[None]:
        """Read the files of the workspace and forget those that are gone or excluded; yields after each file."""
        walks = (walk_source_files(root, self.rules, with_notebooks=True) for root in self.rules.roots)
        paths: dict[Path, None] = {}
        for path in itertools.chain.from_iterable(walks):
            if len(paths) == self._max_files and path not in paths:
                logger.info("the workspace has more files than the %d that are indexed", len(paths))
                break
            paths[path] = None
            yield
        for missing in set(self._index.paths()) - set(map(str, paths)):
            self._index.remove(missing)
            yield
        for path in paths:
            self._read_file(path)
            yield
        if self._index.is_full:
            logger.info("the index is full: it has %d of the %d files of the workspace", len(self._index), len(paths))

    def _apply_updates(self, paths: Sequence[Path]) -> Iterator[None]:
        """Apply updates, for example those of a checkout. All files are read, once, if an ignore file is among them."""
        if any(path.name in RULE_FILES and self._has_rules(path.parent) for path in paths):
            yield from self._read_workspace()
            return
        for path in paths:
            if self._is_walked(path):
                yield from self._apply_update(path)
            yield

    def _has_rules(self, folder: Path) -> bool:
        """Whether an ignore file in ``folder`` can apply to files of the workspace."""
        return self._is_walked(folder / IGNORE_FILE) or any(root.is_relative_to(folder) for root in self.rules.roots)

    def _is_walked(self, path: Path) -> bool:
        """Whether ``path`` is in a workspace folder, and in none of the folders there that are never read."""
        folders = (path.relative_to(root).parts[:-1] for root in self.rules.roots if path.is_relative_to(root))
        return any(not any(map(is_skipped_folder, names)) for names in folders)

    def _apply_update(self, path: Path) -> Iterator[None]:
        if is_indexed(path.name):
            if os.path.islink(path) or self.rules.exclusion_reason(path) is not None:
                self._index.remove(str(path))
            else:
                self._read_file(path)
        elif not os.path.exists(path):  # perhaps a folder
            for known in self._index.paths():
                if known.startswith(f"{path}{os.sep}"):
                    self._index.remove(known)
                    yield
        if self._index.needs_rebuild:
            old, self._index = self._index, SearchIndex()
            old.close()
            yield from self._read_workspace()

    def _read_file(self, path: Path) -> None:
        """Index a file that the rules allow, if there is space."""
        is_known = str(path) in self._index
        has_space = len(self._index) < self._max_files and not self._index.is_full
        text = read_source_of_family(path, None, self.rules.roots) if is_known or has_space else None
        if text is None:
            self._index.remove(str(path))
        else:
            self._index.add(str(path), text)

    def _work_in_slices(self, work: Iterator[None]) -> None:
        """Run ``work`` with rests between slices, until it is done or the index is closed."""
        started_s = time.monotonic()
        for _ in work:
            if self._is_closed.is_set():
                return
            now_s = time.monotonic()
            if now_s - started_s >= _SLICE_S:
                self._work_s += now_s - started_s
                rest = _REST_PER_WORK_WHILE_TYPING if now_s < self._typing_until_s else _REST_PER_WORK
                if self._is_closed.wait((now_s - started_s) * rest):
                    return
                started_s = time.monotonic()
        self._work_s += time.monotonic() - started_s
