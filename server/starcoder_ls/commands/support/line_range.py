"""The region argument ``FILE:10-24`` or ``FILE:10``: reading its target, and writing changes back to the file."""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from starcoder_ls.atomic_files import write_atomically
from starcoder_ls.commands.support.source_position import read_standard_input, require_allowed
from starcoder_ls.context.file_reader import MAX_DOCUMENT_BYTES, decode_text, encode_text, has_bom, read_file
from starcoder_ls.errors import DocumentOutOfSync, SettingsError
from starcoder_ls.languages.table import UNKNOWN, by_id, by_path, language_ids
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.target import Target, find_target

_REGION = re.compile(r"(?P<file>.+):(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read; ``text`` is without its BOM. ``path`` is None for standard input."""

    name: str
    content: bytes
    text: str
    path: Path | None

    @property
    def absolute_path(self) -> str:
        """Empty for standard input."""
        return str(self.path.absolute()) if self.path else ""


def read_source(name: str, ignored: Sequence[str] = ()) -> Source:
    """Read a file, or standard input if ``name`` is ``-``. ``ignored`` are the patterns of ``context.ignore``.

    Raises SettingsError if it cannot be read or is not UTF-8, DocumentExcluded if no model may see it.
    """
    path = None if name == "-" else Path(name)
    name = name if path is not None else "standard input"
    if path is not None:
        require_allowed(name, ignored)
    try:
        content = read_standard_input() if path is None else read_file(path, MAX_DOCUMENT_BYTES)
        return Source(name, content, decode_text(content), path)
    except FileNotFoundError as error:
        raise SettingsError(f"There is no file {name}. Correct the path.") from error
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {error.strerror}. Name a source file.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name} is not UTF-8 text. Save it as UTF-8.") from error


def read_target(region: str, language: str | None, ignored: Sequence[str] = ()) -> tuple[Source, Target]:
    """The lines ``FILE:FIRST-LAST``, or the function at the line ``FILE:LINE``.

    Raises SettingsError for another format, DocumentOutOfSync if there are no such lines or they are blank, and what
    ``read_source`` raises.
    """
    match = _REGION.fullmatch(region)
    if match is None:
        raise SettingsError(
            f"{region!r} is not FILE:FIRST-LAST. Write for example src/app.py:10-24, or src/app.py:10 for the function."
        )
    source = read_source(match["file"], ignored)
    lines = text_lines.split_lines(source.text)
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if not source.text:
        raise DocumentOutOfSync(f"{source.name} is empty, so the action has no code to work on.")
    if first > last:
        raise DocumentOutOfSync(f"{first}-{last} ends before it begins. Write {match['file']}:{last}-{first}.")
    if not 1 <= first <= last <= len(lines):
        raise DocumentOutOfSync(f"{source.name} has lines 1 to {len(lines)}, not {first}-{last}. Name existing lines.")
    start = sum(map(len, lines[: first - 1]))
    end = start if match["last"] is None else start + sum(map(len, lines[first - 1 : last]))
    language_id = _known_language(language) if language else by_path(match["file"]).id
    target = find_target(source.text, start, end, language_id, source.absolute_path, source.name)
    if target is None:
        problem = f"Lines {first}-{last} are blank" if match["last"] else f"No function was found at line {first}"
        raise DocumentOutOfSync(
            f"{problem}. Name other lines of 1 to {len(lines)}, as in {match['file']}:1-{len(lines)}."
        )
    return source, target


def _known_language(language: str) -> str:
    """``language``, also one that starcoder-ls has no entry for. Raises SettingsError for a typo in a known one."""
    if by_id(language) is UNKNOWN and (similar := get_close_matches(language.lower(), language_ids(), 1, 0.8)):
        raise SettingsError(f"There is no language {language!r}. Did you mean {similar[0]!r}?")
    return language


def whole_file(name: str | None, ignored: Sequence[str] = ()) -> Target:
    """A target of the whole file; an empty one if ``name`` is None. Raises what ``read_source`` raises."""
    if name is None:
        return Target("", 0, 0)
    source = read_source(name, ignored)
    return Target(source.text, 0, len(source.text), by_path(name).id, source.absolute_path, source.name)


def unified_diff(source: Source, new_text: str) -> str:
    """A diff that ``patch -p1`` accepts."""
    name = source.path.as_posix().lstrip("/") if source.path else "stdin"
    end = "\t" if re.search(r"\s", name) else ""  # else `patch` reads a name up to its first blank
    bom = "\ufeff" if has_bom(source.content) else ""  # `patch` compares it with the file
    old, new = (io.StringIO(bom + text, newline="\n").readlines() for text in (source.text, new_text))
    lines = difflib.unified_diff(old, new, f"a/{name}{end}", f"b/{name}{end}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def write_source(source: Source, new_text: str) -> None:
    """Replace the file atomically. Links and the mode of the file are kept.

    Raises SettingsError if it cannot be written, or was changed since it was read.
    """
    if source.path is None:
        raise SettingsError("Standard input cannot be written. Leave out --write for a diff.")
    path = source.path.resolve()

    def require_unchanged() -> None:
        if read_file(path, MAX_DOCUMENT_BYTES) != source.content:
            raise SettingsError(f"{source.name} was changed meanwhile and was not written. Run the command again.")

    try:
        if not path.stat().st_mode & 0o222:  # replacing the file would ignore its mode
            raise SettingsError(f"{source.name} is read-only. Make it writable, or leave out --write for a diff.")
        content = encode_text(new_text, has_bom(source.content))
        write_atomically(path, content, is_synced=True, before_replacing=require_unchanged)
    except OSError as error:
        raise SettingsError(f"{source.name} cannot be written: {error.strerror}. It is unchanged.") from error
