"""The folder of an adapter: finds it, checks its files, and reads its tensors.

Pickled weights are read without running the code that a pickle may contain, and once: a copy as safetensors is cached.
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
from starcoder_ls.engine.adapters.config import CONFIG_FILE, AdapterConfig, read_config
from starcoder_ls.engine.loading import hub
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.engine.loading.safetensors_files import read_header
from starcoder_ls.errors import AdapterInvalid, ModelInvalid

WEIGHTS_FILE = "adapter_model.safetensors"
PICKLED_WEIGHTS_FILE = "adapter_model.bin"
FINGERPRINT_KEY = "starcoder_ls_base"
"""Key of the base's fingerprint in the metadata of adapter_model.safetensors."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A checked folder. ``weights`` is the safetensors file, or the pickle if there is no safetensors file."""

    folder: Path
    config: AdapterConfig
    weights: Path

    @property
    def base_fingerprint(self) -> str:
        """Fingerprint of the base that the adapter was trained on; "" if the file has none, as those of others."""
        if self.weights.name == PICKLED_WEIGHTS_FILE:
            return ""
        with safe_open(self.weights, framework="pt") as tensors:
            return str((tensors.metadata() or {}).get(FINGERPRINT_KEY, ""))


def resolve_adapter(adapter: settings.Adapter, is_offline: bool, on_progress: ProgressCallback) -> AdapterFiles:
    """The adapter's files on this machine, downloaded first if necessary, with a checked configuration.

    Raises ModelError, of which AdapterInvalid is one.
    """
    if adapter.path == settings.BUNDLED:
        return check_adapter_folder(Path(settings.__file__).parent / settings.BUNDLED / "explain")
    return hub.resolve(adapter.path, adapter.revision, hub.ADAPTER_FILES, is_offline, check_adapter_folder, on_progress)


def check_adapter_folder(folder: Path) -> AdapterFiles:
    """Read the configuration and the headers of the weights. Raises AdapterInvalid if a file is missing or invalid."""
    if not folder.is_dir():
        raise AdapterInvalid(f"There is no adapter folder {folder}. Correct its `path`, or give a Hub id.")
    if not (folder / CONFIG_FILE).is_file():
        raise AdapterInvalid(f"{folder} has no {CONFIG_FILE}, so it is not a PEFT adapter. Correct its `path`.")
    config = read_config(folder)
    if (folder / WEIGHTS_FILE).is_file():
        try:
            read_header(folder / WEIGHTS_FILE)
        except ModelInvalid as error:
            raise AdapterInvalid(str(error)) from error
        return AdapterFiles(folder, config, folder / WEIGHTS_FILE)
    if (folder / PICKLED_WEIGHTS_FILE).is_file():
        return AdapterFiles(folder, config, folder / PICKLED_WEIGHTS_FILE)
    raise AdapterInvalid(f"{folder} has neither {WEIGHTS_FILE} nor {PICKLED_WEIGHTS_FILE}. Download the adapter again.")


def read_tensors(files: AdapterFiles) -> Mapping[str, torch.Tensor]:
    """All tensors of the adapter, on the CPU. Raises AdapterInvalid if the file cannot be read or is unsafe."""
    try:
        if files.weights.name == PICKLED_WEIGHTS_FILE:
            return _read_through_cache(files.weights)
        return load_file(files.weights)
    except (SafetensorError, OSError) as error:
        raise AdapterInvalid(f"{files.weights} cannot be read: {error}. Download it again.") from error


def cache_folder() -> Path:
    return Path(platformdirs.user_cache_dir("starcoder-ls", appauthor=False)) / "adapters"


def _read_through_cache(file: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a pickle, from its safetensors copy if there is one; otherwise the copy is written.

    The copy's name is the hash of the pickle's contents: a changed file gets a new copy, and two processes that write
    at the same time write the same.
    """
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    copy = cache_folder() / f"{digest}.safetensors"
    if copy.is_file():
        with contextlib.suppress(SafetensorError, OSError):  # a damaged copy is replaced below
            return load_file(copy)
    tensors = _read_pickle(file)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=copy.parent, suffix=".part")
        os.close(descriptor)
        save_file(tensors, partial, {"format": "pt"})
        os.replace(partial, copy)
    except OSError as error:
        _log.info("%s could not be cached as safetensors: %s", file, error)
    return tensors


def _read_pickle(file: Path) -> dict[str, torch.Tensor]:
    """With ``weights_only`` torch builds tensors and plain containers and calls nothing else that a pickle names.

    Raises AdapterInvalid for anything but a dictionary of named tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about unusual pickles; the result is checked below
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise AdapterInvalid(
            f"{file} is damaged, or contains more than tensors and would run code. Do not use it, or download it again."
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise AdapterInvalid(f"{file} contains more than named tensors. Download it again.")
    return {str(name): value.detach().clone().contiguous() for name, value in tensors.items()}
