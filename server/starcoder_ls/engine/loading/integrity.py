"""SHA-256 hashes of files: manifests beside our own weights, those that the Hub's cache records, and of the last load.

A manifest has the format of ``sha256sum``, so that ``sha256sum -c SHA256SUMS`` checks it too. Large files are hashed
once; size, time of change and inode of a verified file are remembered in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from starcoder_ls import user_folders
from starcoder_ls.engine.loading.load_records import LoadRecord, file_state, record_name
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.text_tokens import chat_template

MANIFEST_FILE = "SHA256SUMS"
EXPECTED_LOGITS_FILE = "expected_logits.json"
CHECKPOINT_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "ngram_strengths.json", EXPECTED_LOGITS_FILE,
)  # fmt: skip
"""Files of a checkpoint that are read beside its weights. A manifest of ours lists them."""

TEMPLATE_FILES = (chat_template.TEMPLATE_FILE, chat_template.CONFIG_FILE)
"""Further ones, which most checkpoints of chat-tuned models have."""

MAX_MANIFEST_BYTES = 1 << 20

ALWAYS_HASHED_BYTES = 32 << 20
"""Smaller files are hashed at each load; docs/security.md has the measured rate."""

_MANIFEST_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\\]+)")
_SHA256, _GIT_SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")

_log = logging.getLogger(__name__)


def write_manifest(folder: Path, names: Iterable[str]) -> None:
    """Write the hashes of the files ``names`` in ``folder`` that exist. Raises OSError."""
    lines = [f"{hash_file(folder / name)}  {name}\n" for name in sorted(names) if (folder / name).is_file()]
    (folder / MANIFEST_FILE).write_text("".join(lines), encoding="utf-8")


def write_checkpoint_manifest(folder: Path) -> None:
    """Write the manifest of a checkpoint that this program has made. Raises OSError."""
    write_manifest(folder, (*CHECKPOINT_FILES, *TEMPLATE_FILES, *(file.name for file in folder.glob("*.safetensors*"))))


def read_manifest(folder: Path) -> Mapping[str, str]:
    """File name -> SHA-256; empty if there is no manifest. Lines of other formats are left out."""
    file = folder / MANIFEST_FILE
    if not file.is_file() or file.stat().st_size > MAX_MANIFEST_BYTES:
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return {match[2]: match[1] for line in lines if (match := _MANIFEST_LINE.fullmatch(line))}


def require_bundled_manifest(folder: Path) -> None:
    """Raise ModelInvalid if the manifest of a folder of this package is missing."""
    if not read_manifest(folder):
        raise ModelInvalid(f"{folder} has no {MANIFEST_FILE}. Install starcoder-ls again.")


def verify_folder(folder: Path, names: Iterable[str], on_progress: ProgressCallback) -> str:
    """Compare the files ``names`` with the manifest of ``folder``, or with the hashes of the Hub's cache.

    Other files are compared with those of their last load. Returns sentences for the user about those that were
    replaced since, which are also logged; they are accepted. Raises ModelInvalid for a damaged file, and what
    ``on_progress`` raises.
    """
    manifest, record, sentences = read_manifest(folder), LoadRecord(folder), []
    for name in names:
        file = folder / name
        if not file.is_file():
            continue
        if expected := manifest.get(name) or _recorded_hash(file):
            _verify_file(file, expected, name in manifest, on_progress)
        elif sentence := _compare_with_last_load(file, record, on_progress):
            _log.warning("%s", sentence)
            sentences.append(sentence)
    try:
        record.save()
    except OSError as error:
        _log.info("the hashes of %s are not recorded: %s", folder, error)
    return " ".join(sentences)


def remembered_folder() -> Path:
    """Where it is remembered which large files were verified."""
    return user_folders.cache_folder("verified")


def _recorded_hash(file: Path) -> str | None:
    """The Hub's hash of a file in its cache, which is the name that ``huggingface_hub`` gives the file's content.

    It is a SHA-256 for large files and git's SHA-1 for others; None if ``file`` is not in such a cache.
    """
    blob = file.resolve()
    is_recorded = blob.parent.name == "blobs" and (_SHA256.fullmatch(blob.name) or _GIT_SHA1.fullmatch(blob.name))
    return blob.name if is_recorded else None


def _compare_with_last_load(file: Path, record: LoadRecord, on_progress: ProgressCallback) -> str:
    """Raises ModelInvalid, and what ``on_progress`` raises."""
    is_small = file.stat().st_size < ALWAYS_HASHED_BYTES

    def hash_with_progress(file: Path) -> str:
        if not is_small:
            on_progress(0.0, f"Recording the hash of {file.name}, once.")
        return hash_file(file)

    return record.compare(file, is_small, hash_with_progress)


def _verify_file(file: Path, expected: str, is_in_manifest: bool, on_progress: ProgressCallback) -> None:
    """Raises ModelInvalid, and what ``on_progress`` raises."""
    status = file.stat()
    state = {"hash": expected, **file_state(status)}
    note = remembered_folder() / record_name(file)
    is_remembered = status.st_size >= ALWAYS_HASHED_BYTES
    if is_remembered:
        if _read_note(note) == state:
            return
        on_progress(0.0, f"Verifying {file.name}, once.")
    if hash_file(file, is_git=len(expected) == 40) != expected:
        change = f", or delete {MANIFEST_FILE} beside it if you changed it" if is_in_manifest else ""
        raise ModelInvalid(
            f"{file} is damaged: its hash is not the recorded one. Delete {file.resolve()} and download or install it "
            f"again{change}."
        )
    if is_remembered:
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(state), encoding="utf-8")
        except OSError as error:
            _log.info("%s is verified again at the next start: %s", file, error)


def _read_note(note: Path) -> object:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def hash_file(file: Path, is_git: bool = False) -> str:
    """Hexadecimal SHA-256, or the SHA-1 that git gives a file: of ``blob``, its size, a zero byte and its contents."""
    with file.open("rb") as stream:
        if not is_git:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := stream.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
