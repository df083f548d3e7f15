"""A Hub id to a folder on this machine.

Decides when the network is asked: only for what is not here yet. Refuses to know what the files mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from starcoder_ls.engine.loading.progress import Report, download_bar
from starcoder_ls.errors import ModelError, ModelGated, ModelInvalid, ModelNotFound

# Never code; of pickles only the adapters of 2023, which are read as tensors alone.
CHECKPOINT_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")

Checked = TypeVar("Checked")

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def folder_of(
    name: str,
    revision: str | None,
    files: tuple[str, ...],
    offline: bool,
    check: Callable[[Path], Checked],
    report: Report,
) -> Checked:
    """What ``check`` says of the folder named so, or of the local copy of the Hub repository named so.

    What is here and passes ``check`` is used without asking the network, so that a restart is fast and the model
    does not change under the user; a missing or half-downloaded copy is fetched.
    """
    path = Path(name).expanduser()
    if path.is_dir() or name.startswith((".", "/", "~")) or not _HUB_ID.fullmatch(name):
        return check(path)
    report(0.0, f"Looking for {name} on this machine.")
    try:
        return check(_snapshot(name, revision, files, None))
    except ModelError as error:
        if offline:
            raise
        if not isinstance(error, (ModelNotFound, ModelInvalid)):
            raise
    sentence = f"Downloading {name}, once."
    report(0.0, sentence)
    return check(_snapshot(name, revision, files, download_bar(report, sentence)))


def _snapshot(name: str, revision: str | None, files: tuple[str, ...], bar: type[Any] | None) -> Path:
    """The repository's folder on this machine; without ``bar`` nothing is downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = list(files)
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=wanted, local_files_only=bar is None, tqdm_class=bar
            )
        )
    except LocalEntryNotFoundError as error:
        raise ModelNotFound(_not_here(name, bar is None)) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise _translated(error, name, revision) from error
    except Exception as error:  # the Hub library's HTTP library, and so its exceptions, change between versions
        raise ModelNotFound(f"{name} could not be downloaded: {error}. Check the network and the free disk.") from error


def _not_here(name: str, is_local: bool) -> str:
    if is_local:
        return f"{name} is not on this machine, and `model.offline` forbids asking the Hub. Download it once."
    return f"{name} is not on this machine and the Hub cannot be reached. Check the network, or name a local folder."


def _translated(error: Exception, name: str, revision: str | None) -> ModelError:
    from huggingface_hub import errors

    at = f" at revision {revision}" if revision else ""
    if isinstance(error, errors.GatedRepoError):  # before RepositoryNotFoundError, which it is a kind of
        return ModelGated(
            f"{name} asks you to accept its licence. Accept it at https://huggingface.co/{name}, then run "
            "`hf auth login`."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFound(f"{name} has no revision {revision}. Correct `model.revision` or leave it out.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFound(
            f"There is no folder and no Hub model {name}{at}, or it is private. Correct `model.name`, or run "
            "`hf auth login`."
        )
    return ModelNotFound(f"The Hub did not give {name}{at}: {error}. Try again later, or name a local folder.")
