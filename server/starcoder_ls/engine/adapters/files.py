"""An adapter's folder: which files count, and their tensors.

Decides that old pickles are read without running anything in them, and once. Refuses to know which tensors belong to
a method, and models.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pickle
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from starcoder_ls import settings
from starcoder_ls.engine.adapters import config
from starcoder_ls.engine.adapters.methods.bottleneck import CONFIG, FINGERPRINT, WEIGHTS
from starcoder_ls.engine.loading import hub
from starcoder_ls.engine.loading.progress import Report
from starcoder_ls.engine.loading.safetensors_files import header
from starcoder_ls.errors import AdapterInvalid, ModelInvalid

PICKLED = "adapter_model.bin"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Files:
    """A folder that passed, and what its config says. ``weights`` is safetensors, or the pickle that is alone."""

    folder: Path
    declared: config.Declared
    weights: Path

    @property
    def base_fingerprint(self) -> str:
        """That of the base it was trained on, which only our own adapters bring."""
        if self.weights.name == PICKLED:
            return ""
        with safe_open(self.weights, framework="pt") as tensors:
            return str((tensors.metadata() or {}).get(FINGERPRINT, ""))


def find(wanted: settings.Adapter, offline: bool, report: Report) -> Files:
    """The adapter on this machine, fetched if need be, and its config checked. Raises ModelError."""
    if wanted.path == settings.BUNDLED:
        return inspect(Path(settings.__file__).parent / settings.BUNDLED / "explain")
    return hub.folder_of(wanted.path, wanted.revision, hub.ADAPTER_FILES, offline, inspect, report)


def inspect(folder: Path) -> Files:
    """Raises AdapterInvalid; reads the config and headers, not weights."""
    if not folder.is_dir():
        raise AdapterInvalid(f"There is no adapter folder {folder}. Correct its `path`, or give a Hub id.")
    if not (folder / CONFIG).is_file():
        raise AdapterInvalid(f"{folder} has no {CONFIG}, so it is no PEFT adapter. Correct its `path`.")
    declared = config.read(folder)
    if (folder / WEIGHTS).is_file():
        try:
            header(folder / WEIGHTS)
        except ModelInvalid as error:
            raise AdapterInvalid(str(error)) from error
        return Files(folder, declared, folder / WEIGHTS)
    if (folder / PICKLED).is_file():
        return Files(folder, declared, folder / PICKLED)
    raise AdapterInvalid(f"{folder} has no {WEIGHTS} and no {PICKLED}. Download the adapter again.")


def tensors(files: Files) -> Mapping[str, torch.Tensor]:
    """All of the adapter's tensors, on the CPU. Raises AdapterInvalid."""
    try:
        if files.weights.name == PICKLED:
            return _converted(files.weights)
        return load_file(files.weights)
    except (SafetensorError, OSError) as error:
        raise AdapterInvalid(f"{files.weights} cannot be read: {error}. Download it again.") from error


def cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("starcoder-ls", appauthor=False)) / "adapters"


def _converted(file: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a pickle, from the copy that was made when it was first read.

    The copy is named after the pickle's contents, so that a changed file is another and two processes agree.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    copy = cache_folder() / f"{digest}.safetensors"
    if copy.is_file():
        with contextlib.suppress(SafetensorError, OSError):  # a damaged copy is made again
            return load_file(copy)
    found = _unpickled(file)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=copy.parent, suffix=".part")
        os.close(descriptor)
        save_file(found, unfinished, {"format": "pt"})
        os.replace(unfinished, copy)
    except OSError as error:
        _log.info("no copy of %s as safetensors: %s", file, error)
    return found


def _unpickled(file: Path) -> dict[str, torch.Tensor]:
    """``weights_only`` builds tensors and plain containers and calls nothing else that a pickle names."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickles: what comes is a tensor or an error
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise AdapterInvalid(
            f"{file} is damaged, or holds more than tensors and would run code. Do not use it, or download it again."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise AdapterInvalid(f"{file} holds more than named tensors. Download it again.")
    return {str(name): value.detach().clone().contiguous() for name, value in found.items()}
