"""Downloads the large files of a Hub repository into the Hub's cache, each checked against its SHA-256.

An interrupted download continues: huggingface_hub gives the file of each process a name of its own and deletes it at an
error, this module keeps one partial file per content. What it has downloaded, huggingface_hub takes as its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from starcoder_ls.engine.loading.hub_errors import disk_full, hub_cache
from starcoder_ls.engine.loading.integrity import hash_file
from starcoder_ls.engine.loading.progress import ProgressCallback, create_byte_bar
from starcoder_ls.errors import ModelInvalid

SPARE_BYTES = 200 << 20
"""That must stay free on the disk: the small files of the repository, and what other programs write meanwhile."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository; ``sha256`` is "" for small files, which git itself stores."""

    path: str
    size: int
    sha256: str


def download_large_files(
    name: str, revision: str | None, patterns: Sequence[str], on_progress: ProgressCallback
) -> None:
    """Download the files of the Hub repository ``name`` that match one of ``patterns`` and have a SHA-256.

    Those that are in the cache already are left. Raises ModelInvalid if there are no weights in a format that is read
    or what arrived is damaged, DiskFull if the disk is too small, and what huggingface_hub raises.
    """
    from huggingface_hub import HfApi, constants, hf_hub_url
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    info = HfApi(endpoint=constants.ENDPOINT).model_info(name, revision=revision, files_metadata=True)
    files = [
        RemoteFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else "")
        for file in info.siblings or ()
        if any(fnmatch(file.rfilename, pattern) for pattern in patterns)
    ]
    _require_weights(name, files, [file.rfilename for file in info.siblings or ()], patterns)
    folder_name = repo_folder_name(repo_id=name, repo_type="model")
    blobs, locks = hub_cache() / folder_name / "blobs", hub_cache() / ".locks" / folder_name
    missing = [file for file in files if file.sha256 and not (blobs / file.sha256).exists()]
    report = _ByteProgress(name, sum(file.size for file in files), sum(file.size for file in missing), on_progress)
    _require_space(name, sum(file.size - _size(_partial(blobs / file.sha256)) for file in missing))
    for file in missing:
        url = hf_hub_url(name, file.path, revision=info.sha, endpoint=constants.ENDPOINT)
        _download(name, url, build_hf_headers(), blobs / file.sha256, locks, file, report)


class _ByteProgress:
    """Turns received bytes of all files into calls of ``on_progress``."""

    def __init__(self, name: str, total: int, missing: int, on_progress: ProgressCallback) -> None:
        self._name, self._total, self._done, self._on_progress = name, max(total, 1), total - missing, on_progress

    def add(self, size: int) -> None:
        self._done += size
        fraction = min(max(self._done / self._total, 0.0), 1.0)
        message = f"Downloading {self._name}, once. {self._done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB."
        self._on_progress(fraction, message)


def _download(
    name: str,
    url: str,
    headers: dict[str, str],
    blob: Path,
    locks: Path,
    file: RemoteFile,
    report: _ByteProgress,
) -> None:
    """Raises ModelInvalid for damaged content, OSError, and what huggingface_hub raises."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    for folder in (blob.parent, locks):
        folder.mkdir(parents=True, exist_ok=True)
    # The name of huggingface_hub's own lock. Another process that downloads the same content has finished then.
    with WeakFileLock(locks / f"{blob.name}.lock"):
        if blob.exists():
            report.add(file.size)
            return
        partial = _partial(blob)
        with partial.open("ab") as stream:
            if stream.tell() > file.size:
                stream.truncate(0)
            start = stream.seek(0, os.SEEK_END)
            report.add(start)
            http_get(
                url,
                stream,
                resume_size=start,
                headers=headers,
                expected_size=file.size,
                tqdm_class=create_byte_bar(report.add),
            )
        _require_hash(name, partial, file)
        os.replace(partial, blob)


def _partial(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.partial")


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _require_hash(name: str, partial: Path, file: RemoteFile) -> None:
    """Raise ModelInvalid, and delete the file, if its content is not what the Hub announced."""
    if hash_file(partial) != file.sha256:
        partial.unlink()
        raise ModelInvalid(
            f"{file.path} of {name} was damaged on its way: its SHA-256 is not the one of the Hub. It was deleted. "
            "Download it again."
        )


def free_disk_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of ``folder``, which need not exist yet."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def _require_space(name: str, needed: int) -> None:
    """Raise DiskFull if ``needed`` bytes do not fit on the disk of the cache."""
    if needed <= 0:
        return
    folder = hub_cache()
    free = free_disk_bytes(folder)
    if needed + SPARE_BYTES > free:
        raise disk_full(name, folder, needed, free)


def _require_weights(name: str, files: Sequence[RemoteFile], names: Sequence[str], patterns: Sequence[str]) -> None:
    """Raise ModelInvalid before anything is downloaded if a checkpoint has no safetensors files."""
    if "*.safetensors" not in patterns or any(file.path.endswith(".safetensors") for file in files):
        return
    if any(path.endswith(".gguf") for path in names):
        raise ModelInvalid(f"{name} has its weights as GGUF, which is not read. Name the original model.")
    if any(path.endswith(".bin") for path in names):
        raise ModelInvalid(
            f"{name} has its weights as pickles only, which can run code and are not read. Name a revision or another "
            "model that has safetensors."
        )
    raise ModelInvalid(f"{name} has no safetensors files, so it cannot be loaded. Correct `model.name`.")
