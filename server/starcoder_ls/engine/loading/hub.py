"""Resolves a folder or Hub id to files on this machine.

The network is used only for files that are not on this machine yet, and never if the user works offline.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from starcoder_ls.engine.loading.hub_download import download_large_files
from starcoder_ls.engine.loading.hub_errors import convert_hub_error
from starcoder_ls.engine.loading.progress import ProgressCallback, create_byte_bar
from starcoder_ls.errors import ModelError, ModelInvalid, ModelNotFound

# Never code. The only pickles are adapters of 2023, which are read in a way that runs no code.
CHECKPOINT_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "SHA256SUMS",
)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "SHA256SUMS")

Checked = TypeVar("Checked")

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")

_log = logging.getLogger(__name__)


def resolve(
    name: str,
    revision: str | None,
    patterns: tuple[str, ...],
    is_offline: bool,
    check_folder: Callable[[Path], Checked],
    on_progress: ProgressCallback,
) -> Checked:
    """The result of ``check_folder`` for the folder ``name``, or for the local copy of the Hub repository ``name``.

    A local copy that passes ``check_folder`` is used without a request to the Hub, so that a restart is fast and the
    model does not change unnoticed. A missing or incomplete copy is downloaded; only files that match one of
    ``patterns`` are. The Hub's cache records the commit that ``revision`` meant at the download; it is logged at each
    call. Raises ModelError if the Hub does not provide the files, and what ``check_folder`` raises.
    """
    path = Path(name).expanduser()
    if path.is_file():
        raise ModelInvalid(
            f"{name} is a file, and a model or adapter is a folder as on the Hub, with safetensors; GGUF is not read. "
            "Name the folder or a Hub id."
        )
    if path.is_dir() or name.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(name):
        return check_folder(path)
    on_progress(0.0, f"Looking for {name} on this machine.")
    try:
        return _check_and_log(name, _local_snapshot(name, revision, patterns), check_folder)
    except (ModelNotFound, ModelInvalid):
        if is_offline:
            raise
    return _check_and_log(name, _download(name, revision, patterns, on_progress), check_folder)


def commit_of(folder: Path) -> str:
    """The commit whose files ``folder`` in the Hub's cache has; "" for other folders."""
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else ""


def find_commit(name: str, revision: str | None) -> str:
    """The commit of the local copy of the Hub repository ``name``; "" for a folder or if there is no copy."""
    if Path(name).expanduser().exists() or not _HUB_ID.fullmatch(name):
        return ""
    try:
        return commit_of(_local_snapshot(name, revision, ("config.json",)))
    except ModelError:
        return ""


def _check_and_log(name: str, folder: Path, check_folder: Callable[[Path], Checked]) -> Checked:
    """Raises what ``check_folder`` raises."""
    checked = check_folder(folder)
    _log.info("%s is at commit %s", name, commit_of(folder) or "unknown")
    return checked


def _local_snapshot(name: str, revision: str | None, patterns: tuple[str, ...], is_local_only: bool = True) -> Path:
    """The repository's folder on this machine; what it lacks is downloaded unless ``is_local_only``.

    Raises ModelError.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=is_local_only,
            tqdm_class=create_byte_bar(lambda _: None),  # draws nothing, and these files are small
            endpoint=constants.ENDPOINT,
        )
    except LocalEntryNotFoundError as error:
        if not is_local_only:
            raise convert_hub_error(error, name, revision) from error
        raise ModelNotFound(
            f"{name} is not on this machine, and `model.offline` forbids to download it. Download it once."
        ) from error
    except Exception as error:  # the exceptions of huggingface_hub's HTTP library change between versions
        raise convert_hub_error(error, name, revision) from error
    return Path(folder)


def _download(name: str, revision: str | None, patterns: tuple[str, ...], on_progress: ProgressCallback) -> Path:
    """The repository's folder on this machine, downloaded. Raises ModelError, and what ``on_progress`` raises."""
    on_progress(0.0, f"Downloading {name}, once.")
    ended: list[Exception] = []

    def report(fraction: float, message: str) -> None:
        try:
            on_progress(fraction, message)
        except Exception as error:
            ended.append(error)
            raise

    try:
        download_large_files(name, revision, patterns, report)
    except ModelError:
        raise
    except Exception as error:
        if error in ended:
            raise
        raise convert_hub_error(error, name, revision) from error
    return _local_snapshot(name, revision, patterns, is_local_only=False)
