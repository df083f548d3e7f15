"""``FILE:10-24`` or ``FILE:10`` to the lines an action is done to, and changes of them back to the file.

Decides what language a file is in and when it may be written. Refuses to know models.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.commands.support.source_position import require_allowed
from starcoder_ls.errors import DocumentOutOfSync, SettingsError
from starcoder_ls.languages.table import by_path
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.target import Target, find_target

_REGION = re.compile(r"(?P<file>.+):(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read; ``path`` is None for standard input."""

    name: str
    content: bytes
    text: str
    path: Path | None


def source(name: str, ignored: Sequence[str] = ()) -> Source:
    """Raises SettingsError for what cannot be read, or is no text, DocumentExcluded for what no model may see."""
    path = None if name == "-" else Path(name)
    if path is not None:
        require_allowed(name, ignored)
    try:
        content = sys.stdin.buffer.read() if path is None else path.read_bytes()
        return Source("standard input" if path is None else name, content, content.decode("utf-8"), path)
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name} is not UTF-8 text.") from error


def target_at(place: str, language: str | None, ignored: Sequence[str] = ()) -> tuple[Source, Target]:
    """Raises DocumentOutOfSync for a place that is not there or holds nothing, and what ``source`` raises."""
    found = _REGION.fullmatch(place)
    if found is None:
        raise SettingsError(
            f"{place!r} is not FILE:FIRST-LAST. Write for example src/app.py:10-24, or src/app.py:10 for the function."
        )
    read = source(found["file"], ignored)
    rows = text_lines.split_lines(read.text)
    first, last = int(found["first"]), int(found["last"] or found["first"])
    if not read.text:
        raise DocumentOutOfSync(f"{read.name} is empty, so there is nothing to do it to.")
    if first > last:
        raise DocumentOutOfSync(f"{first}-{last} ends before it begins. Write {found['file']}:{last}-{first}.")
    if not 1 <= first <= last <= len(rows):
        raise DocumentOutOfSync(f"{read.name} has lines 1 to {len(rows)}; {found['first']}-{last} is no part of them.")
    start = sum(map(len, rows[: first - 1]))
    end = start if found["last"] is None else start + sum(map(len, rows[first - 1 : last]))
    spoken = language or by_path(found["file"]).id
    path = str(read.path.absolute()) if read.path else ""
    target = find_target(read.text, start, end, spoken, path, read.name)
    if target is None:
        what = (
            "There are only blank lines there" if found["last"] else f"Line {first} is in no function that is seen here"
        )
        raise DocumentOutOfSync(f"{what}. Name other lines of 1 to {len(rows)}, as in {found['file']}:1-{len(rows)}.")
    return read, target


def whole_file(name: str | None, ignored: Sequence[str] = ()) -> Target:
    """All of a file; nothing where there is none."""
    if name is None:
        return Target("", 0, 0)
    read = source(name, ignored)
    return Target(read.text, 0, len(read.text), by_path(name).id, str(read.path or ""), read.name)


def diff(read: Source, new_text: str) -> str:
    """A unified diff that ``patch -p1`` takes."""
    name = read.path.as_posix().lstrip("/") if read.path else "stdin"
    made = difflib.unified_diff(
        text_lines.split_lines(read.text), text_lines.split_lines(new_text), f"a/{name}", f"b/{name}"
    )
    return "".join(row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n" for row in made)


def write(read: Source, new_text: str) -> None:
    """All or nothing, through links, with the file's mode. Raises SettingsError if it changed since it was read."""
    if read.path is None:
        raise SettingsError("Standard input cannot be written. Leave out --write for a diff.")
    path = read.path.resolve()
    temporary = ""
    try:
        if not path.stat().st_mode & 0o222:  # a rename would go past it
            raise SettingsError(f"{read.name} is read-only. Make it writable, or leave out --write for a diff.")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(new_text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o7777)
        if path.read_bytes() != read.content:
            raise SettingsError(f"{read.name} was changed meanwhile, so it is left alone. Run the command again.")
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        raise SettingsError(f"{read.name} cannot be written: {error.strerror}. It is as it was.") from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
