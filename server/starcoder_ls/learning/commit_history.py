"""Changes of files in the history of a git repository: (before, subject, after), as models saw commits in training.

Decides which are used: small changes of handwritten source code, without merges, secrets and what prompts leave out.
A repository is untrusted: git gets options that keep its configuration from starting other programs.
"""

from __future__ import annotations

import difflib
import os
import random
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.context.source_files import language_family
from starcoder_ls.learning.sources import is_generated, is_vendored

MAX_COMMITS = 5_000
"""The newest ones."""
MAX_CONTEXT_LINES = 31
"""On each side of a change, as in the commits of StarCoder's training (bigcode-dataset): 0 to 31 at random."""
_MAX_FILES_OF_COMMIT, _MAX_CHANGED_LINES, _MAX_BYTES = 8, 40, 200_000
_MIN_SUBJECT_CHARS, _MAX_SUBJECT_CHARS = 8, 120
_BLOBS_AT_ONCE = 32
_TIMEOUT_S = 120.0
_COMMIT_MARK = "\x01"
_GENERIC_SUBJECT = re.compile(r"(?:update|test|wip|fix|merge|revert)\b\W*(?:\w+\W*)?\Z|merge |revert ", re.IGNORECASE)
_RAW_LINE = re.compile(r":100(?:644|755) 100(?:644|755) ([0-9a-f]+) ([0-9a-f]+) M\t([^\"].*)")
_GIT = (
    "git", "--no-pager", "-c", "core.quotepath=off", "-c", "log.showSignature=false", "-c", "core.fsmonitor=false",
)  # fmt: skip
_LOG = (
    *_GIT, "log", "--no-merges", "--no-renames", "--no-ext-diff", "--no-textconv", "--diff-filter=M", "--raw",
    "--no-abbrev", f"--max-count={MAX_COMMITS}", f"--format={_COMMIT_MARK}%s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CommitSpan:
    """Lines of ``path`` before and after a commit, joined by line feeds, without a final one."""

    path: str
    subject: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class _Change:
    """A file of a commit: the ids of its contents before and after."""

    path: str
    subject: str
    old: str
    new: str


def read_commit_spans(folder: Path, count: int, seed: int = 0, ignored: Sequence[str] = ()) -> list[CommitSpan]:
    """At most ``count`` random changes of the repository whose top is ``folder``, always the same for a ``seed``.

    ``ignored`` are the patterns of `context.ignore`. Empty without git, or if ``folder`` is no repository.
    """
    if not (folder / ".git").exists():
        return []
    rules = IgnoreRules([folder], ignored)
    log = _run(folder, _LOG)
    changes = [
        change
        for change in parse_log(log.decode(errors="replace"))
        if language_family(change.path)
        and not is_vendored(Path(change.path))
        and rules.exclusion_reason(folder / change.path) is None
    ]
    drawn = random.Random(seed)
    drawn.shuffle(changes)
    spans: list[CommitSpan] = []
    for at in range(0, len(changes), _BLOBS_AT_ONCE):
        some = changes[at : at + _BLOBS_AT_ONCE]
        texts = _read_blobs(folder, [id_ for change in some for id_ in (change.old, change.new)])
        for change in some:
            span = cut_span(change.path, change.subject, texts.get(change.old), texts.get(change.new), drawn)
            if span is not None:
                spans.append(span)
                if len(spans) == count:
                    return spans
    return spans


def parse_log(log: str) -> Iterator[_Change]:
    """The changed files in the output of git; none of commits that changed many files or have no real subject."""
    for commit in log.split(_COMMIT_MARK)[1:]:
        subject, _, rest = commit.partition("\n")
        subject = subject.strip()
        found = [match for line in rest.split("\n") if (match := _RAW_LINE.fullmatch(line))]
        is_real = _MIN_SUBJECT_CHARS <= len(subject) <= _MAX_SUBJECT_CHARS and not _GENERIC_SUBJECT.match(subject)
        if is_real and len(found) <= _MAX_FILES_OF_COMMIT:
            yield from (_Change(match[3], subject, match[1], match[2]) for match in found)


def cut_span(path: str, subject: str, old: str | None, new: str | None, drawn: random.Random) -> CommitSpan | None:
    """The changed lines of a file with some around them; None if they are too many, generated, or have secrets."""
    if not old or not new or is_generated(new):
        return None
    before, after = old.split("\n"), new.split("\n")
    first, last = _changed_range(before, after)
    changed = max(len(before), len(after)) - first - last
    above = min(first, drawn.randint(0, MAX_CONTEXT_LINES))
    below = min(last, drawn.randint(0, MAX_CONTEXT_LINES))
    if not 0 < changed <= _MAX_CHANGED_LINES:
        return None
    span = CommitSpan(
        path,
        subject,
        "\n".join(before[first - above : len(before) - last + below]),
        "\n".join(after[first - above : len(after) - last + below]),
    )
    has_secret = any(mask_secrets(text) != text for text in (span.before, span.after, subject))
    return None if has_secret or not span.before.strip() or not span.after.strip() else span


def changed_blocks(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """The stretches of lines that differ: first and end in ``before``, first and end in ``after``."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [block[1:] for block in matcher.get_opcodes() if block[0] != "equal"]


def _changed_range(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    """How many lines both begin and end with."""
    shortest = min(len(before), len(after))
    first = next((at for at in range(shortest) if before[at] != after[at]), shortest)
    last = next((at for at in range(shortest - first) if before[-1 - at] != after[-1 - at]), shortest - first)
    return first, last


def _read_blobs(folder: Path, ids: Iterable[str]) -> dict[str, str]:
    """The texts of blobs by id: of those that are short enough and are UTF-8 without null bytes."""
    requested = "".join(f"{id_}\n" for id_ in dict.fromkeys(ids)).encode()
    listed = _run(folder, (*_GIT, "cat-file", "--batch-check"), requested).decode(errors="replace")
    fields = [line.split(" ") for line in listed.split("\n")]
    short = [each[0] for each in fields if len(each) == 3 and each[1] == "blob" and int(each[2]) <= _MAX_BYTES]
    output = _run(folder, (*_GIT, "cat-file", "--batch"), "".join(f"{id_}\n" for id_ in short).encode())
    texts: dict[str, str] = {}
    at = 0
    while (header_end := output.find(b"\n", at)) >= 0:
        id_, _, size = output[at:header_end].decode(errors="replace").split(" ")
        content = output[header_end + 1 : header_end + 1 + int(size)]
        at = header_end + 1 + int(size) + 1
        try:
            text = content.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError:
            continue
        if "\0" not in text and "\r" not in text:
            texts[id_] = text
    return texts


def _run(folder: Path, command: Sequence[str], standard_input: bytes = b"") -> bytes:
    """The output of git; empty if it fails or there is none. It fetches nothing that is missing."""
    environment = {
        **os.environ,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            input=standard_input,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return result.stdout
