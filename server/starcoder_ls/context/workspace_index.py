"""The index of a workspace, kept up to date by a thread that gives way.

Decides what is read when, and how much of a processor that may take. Refuses to watch files: it is told what changed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from starcoder_ls.context.ignore_rules import OWN_FILE, IgnoreRules
from starcoder_ls.context.search_index import Found, SearchIndex
from starcoder_ls.context.source_files import family_of, text_of, walked

logger = logging.getLogger(__name__)

_SLICE_S = 0.02
_NICE = 15
_REST_PER_WORK = 1.0
_REST_PER_WORK_WHILE_TYPING = 4.0
_TYPING_S = 1.5
_RULE_FILES = frozenset({".gitignore", OWN_FILE})


class WorkspaceIndex:
    """The repository of one client. ``most_files`` 0 keeps nothing and starts no thread."""

    def __init__(self, rules: IgnoreRules, most_files: int) -> None:
        self.rules = rules
        self._most_files = most_files
        self._index = SearchIndex()
        self._changed: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._busy_until_s = 0.0
        self._worked_s = 0.0
        self.is_complete = threading.Event()
        """The first walk is over, or there is none."""
        self._thread: threading.Thread | None = None
        if most_files and rules.roots:
            self._thread = threading.Thread(target=self._live, name="context-index", daemon=True)
            self._thread.start()
        else:
            self.is_complete.set()

    def __len__(self) -> int:
        """Files in the index."""
        return len(self._index)

    @property
    def worked_s(self) -> float:
        """How long the thread has worked, rests left out."""
        return self._worked_s

    def search(self, words: Sequence[str], most: int) -> tuple[list[Found], dict[str, float]]:
        return self._index.search(words, most)

    def is_typed(self) -> None:
        """Somebody types: the thread rests more than it works."""
        self._busy_until_s = time.monotonic() + _TYPING_S

    def changed(self, paths: Iterable[Path]) -> None:
        """These files, or rules, are others now, are new or are gone."""
        if self._thread is not None:
            for path in paths:
                self._changed.put(path)

    def close(self) -> None:
        """Idempotent; the thread ends by itself soon after."""
        self._is_closed.set()
        self._changed.put(None)
        if self._thread is None:
            self._index.close()

    def _live(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # Linux counts niceness by thread; elsewhere leave it
            if os.uname().sysname == "Linux":
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        try:
            self._build()
            while not self._is_closed.is_set():
                self._in_slices(self._burst(self._changed.get()))
        except Exception as error:  # noqa: BLE001 - without an index there are fewer snippets, and nothing else fails
            logger.error("the workspace is no longer indexed: %s", type(error).__name__)
        finally:
            self.is_complete.set()
            self._index.close()

    def _build(self) -> None:
        started_s = time.monotonic()
        self._in_slices(self._walk())
        self.is_complete.set()
        elapsed_s = time.monotonic() - started_s
        logger.info("%d files of the workspace indexed in %.1f s, %.1f s of work", len(self), elapsed_s, self._worked_s)

    def _walk(self) -> Iterator[None]:
        seen = set()
        for root in self.rules.roots:
            for path in walked(root, self.rules):
                if len(self._index) >= self._most_files or self._index.is_full:
                    logger.info("the workspace has more files than the %d that are indexed", len(self._index))
                    return
                seen.add(str(path))
                self._read(path)
                yield
        for gone in set(self._index.paths()) - seen:
            self._index.drop(gone)
            yield

    def _burst(self, path: Path | None) -> Iterator[None]:
        """What changed together, such as by a checkout, each file once."""
        changed = {path: None}
        with contextlib.suppress(queue.Empty):
            while True:
                changed[self._changed.get_nowait()] = None
        for one in changed:
            if one is not None:
                yield from self._follow(one)
                yield

    def _follow(self, path: Path) -> Iterator[None]:
        if path.name in _RULE_FILES:
            yield from self._walk()
        elif family_of(path.name):
            self._read(path)
        elif not path.exists():  # a folder, perhaps
            for known in self._index.paths():
                if known.startswith(f"{path}{os.sep}"):
                    self._index.drop(known)
                    yield
        if self._index.should_be_rebuilt:
            old, self._index = self._index, SearchIndex()
            old.close()
            yield from self._walk()

    def _read(self, path: Path) -> None:
        is_inside = any(path.is_relative_to(root) for root in self.rules.roots)
        text = text_of(path) if is_inside and not path.is_symlink() and self.rules.reason(path) is None else None
        if text is None or (len(self._index) >= self._most_files and str(path) not in self._index):
            self._index.drop(str(path))
        else:
            self._index.put(str(path), text)

    def _in_slices(self, work: Iterator[None]) -> None:
        """Run ``work``, resting between slices, until it is done or we are closed."""
        began_s = time.monotonic()
        for _ in work:
            now = time.monotonic()
            if now - began_s >= _SLICE_S:
                self._worked_s += now - began_s
                rest = _REST_PER_WORK_WHILE_TYPING if now < self._busy_until_s else _REST_PER_WORK
                if self._is_closed.wait((now - began_s) * rest):
                    return
                began_s = time.monotonic()
        self._worked_s += time.monotonic() - began_s
