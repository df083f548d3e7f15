"""One file from a folder, compressed, or in parts of limited size: for machines that take or return little.

A packed file or its parts are unpacked into the same files, which are checked by their hash.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

from starcoder_ls.errors import SettingsError

PARTS_FILE = "parts.json"
"""Beside the parts: the name of the file, their names, and its SHA-256."""

_PRESET = 6


def pack(folder: Path, file: Path, preset: int = _PRESET) -> None:
    """Write all files of ``folder`` to ``file``, a tar archive compressed by xz. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(file, "wb", preset=preset) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                _add(archive, path.relative_to(folder).as_posix(), path.read_bytes())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Without time and owner, so that equal folders are equal archives."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def split(file: Path, folder: Path, max_bytes: int) -> list[Path]:
    """Write ``file`` in parts of at most ``max_bytes`` to ``folder``, and what ``join`` needs. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{file.name}.*"):
        old.unlink()
    content = file.read_bytes()
    parts = []
    for number, start in enumerate(range(0, max(len(content), 1), max_bytes)):
        parts.append(folder / f"{file.name}.{number:03}")
        parts[-1].write_bytes(content[start : start + max_bytes])
    summary = {
        "file": file.name,
        "parts": [part.name for part in parts],
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / PARTS_FILE).write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return parts


def join(folder: Path) -> bytes:
    """The content of the file whose parts are in ``folder``. Raises SettingsError if a part is missing or changed."""
    try:
        summary: dict[str, Any] = json.loads((folder / PARTS_FILE).read_text(encoding="utf-8"))
        content = b"".join((folder / Path(name).name).read_bytes() for name in summary["parts"])
    except FileNotFoundError as error:
        raise SettingsError(f"{error.filename} is missing. Copy all parts into one folder.") from error
    if hashlib.sha256(content).hexdigest() != summary["sha256"]:
        raise SettingsError(f"The parts in {folder} are not those that were written. Copy them again.")
    return content


def unpack(packed: Path, folder: Path) -> None:
    """Extract ``packed``, an archive or the folder of its parts, into ``folder``.

    Raises SettingsError if it is neither or is damaged, OSError.
    """
    if packed.is_dir() and not (packed / PARTS_FILE).is_file():
        raise SettingsError(f"{packed} has no {PARTS_FILE}. Name the archive, or the folder with its parts.")
    content = join(packed) if packed.is_dir() else packed.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            lzma.open(io.BytesIO(content)) as stream,
            tarfile.open(fileobj=io.BytesIO(stream.read())) as archive,
        ):
            archive.extractall(folder, filter="data")
    except (lzma.LZMAError, EOFError, tarfile.TarError) as error:
        raise SettingsError(f"{packed} is damaged or no archive of `train pack` ({error}). Copy it again.") from error
