"""The folder of an adapter: finds it, checks its files, and reads its tensors.

Pickled weights are converted in another process, and once: a copy as safetensors is cached, with its hash.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

import starcoder_ls
from starcoder_ls import settings, user_folders
from starcoder_ls.engine.adapters import pickle_conversion
from starcoder_ls.engine.adapters.config import CONFIG_FILE, AdapterConfig, read_config
from starcoder_ls.engine.loading import hub, integrity
from starcoder_ls.engine.loading.progress import ProgressCallback, ignore_progress
from starcoder_ls.engine.loading.safetensors_files import TensorEntry, read_header
from starcoder_ls.errors import AdapterInvalid, ModelInvalid
from starcoder_ls.json_files import printable

WEIGHTS_FILE = "adapter_model.safetensors"
PICKLED_WEIGHTS_FILE = "adapter_model.bin"
FINGERPRINT_KEY = "starcoder_ls_base"
"""Key of the base's fingerprint in the metadata of adapter_model.safetensors."""

MAX_WEIGHTS_BYTES = 8 << 30
"""Larger adapters are refused, as are those larger than the free memory; Astraios' largest has 0.2 GB."""

# PEFT's models in memory have the adapter's name in the names of its weights; its files have not.
_ADAPTER_NAME = re.compile(r"(\.(?:lora_[AB]|adapter_down|adapter_up))\.\w+(\.(?:weight|bias))|(\.ia3_l)\.\w+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A checked folder. ``weights`` is the safetensors file, or the pickle if there is no safetensors file.

    ``changes`` says, for the user, which files were replaced since the last load.
    """

    folder: Path
    config: AdapterConfig
    weights: Path
    changes: str = ""

    @property
    def base_fingerprint(self) -> str:
        """Fingerprint of the base that the adapter was trained on; "" if the file has none, as those of others."""
        if self.weights.name == PICKLED_WEIGHTS_FILE:
            return ""
        with safe_open(self.weights, framework="pt") as tensors:
            return str((tensors.metadata() or {}).get(FINGERPRINT_KEY, ""))


def resolve_adapter(adapter: settings.Adapter, is_offline: bool, on_progress: ProgressCallback) -> AdapterFiles:
    """The adapter's files on this machine, downloaded first if necessary, with a checked configuration.

    A link is followed once: all files are those of one folder, even if the link changes meanwhile.
    Raises ModelError, of which AdapterInvalid is one.
    """
    if adapter.path == settings.BUNDLED:
        files = check_adapter_folder(Path(starcoder_ls.__file__).parent / settings.BUNDLED / "explain")
        integrity.require_bundled_manifest(files.folder)
    else:
        folder = Path(adapter.path).expanduser()
        files = hub.resolve(
            str(folder.resolve()) if folder.is_symlink() else adapter.path,
            adapter.revision,
            hub.ADAPTER_FILES,
            is_offline,
            check_adapter_folder,
            on_progress,
        )
    try:
        names = (file for file in hub.ADAPTER_FILES if file != integrity.MANIFEST_FILE)
        return replace(files, changes=integrity.verify_folder(files.folder, names, on_progress))
    except ModelInvalid as error:
        raise AdapterInvalid(str(error)) from error


def check_adapter_folder(folder: Path) -> AdapterFiles:
    """Read the configuration and the headers of the weights. Raises AdapterInvalid if a file is missing or invalid."""
    if not folder.is_dir():
        raise AdapterInvalid(f"There is no adapter folder {folder}. Correct its `path`, or give a Hub id.")
    if not (folder / CONFIG_FILE).is_file():
        raise AdapterInvalid(f"{folder} has no {CONFIG_FILE}, so it is not a PEFT adapter. Correct its `path`.")
    config = read_config(folder)
    if (folder / WEIGHTS_FILE).is_file():
        _read_header(folder / WEIGHTS_FILE)
        return AdapterFiles(folder, config, folder / WEIGHTS_FILE)
    if (folder / PICKLED_WEIGHTS_FILE).is_file():
        return AdapterFiles(folder, config, folder / PICKLED_WEIGHTS_FILE)
    raise AdapterInvalid(f"{folder} has neither {WEIGHTS_FILE} nor {PICKLED_WEIGHTS_FILE}. Download the adapter again.")


def read_tensors(files: AdapterFiles) -> Mapping[str, torch.Tensor]:
    """All tensors of the adapter by PEFT's names in files, on the CPU.

    Raises AdapterInvalid if the file cannot be read, is unsafe or is too large.
    """
    try:
        if files.weights.name == PICKLED_WEIGHTS_FILE:
            tensors = _read_through_cache(files.weights)
        else:
            tensors = _load_file(files.weights)
    except (SafetensorError, OSError) as error:
        raise AdapterInvalid(f"{files.weights} cannot be read: {error}. Download it again.") from error
    named = {name_in_file(name): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise AdapterInvalid(f"{files.weights} contains the weights of several adapters. Save one of them alone.")
    return named


def name_in_file(name: str) -> str:
    """A tensor's name without the adapter's: ``….lora_A.default.weight`` is ``….lora_A.weight``."""
    return _ADAPTER_NAME.sub(lambda match: (match[1] or match[3]) + (match[2] or ""), name, count=1)


def cache_folder() -> Path:
    """Where converted adapters are kept."""
    return user_folders.cache_folder("adapters")


def _read_header(file: Path) -> Mapping[str, TensorEntry]:
    """Raises AdapterInvalid if the header is invalid or the tensors do not fit in memory."""
    try:
        entries = read_header(file)
    except ModelInvalid as error:
        raise AdapterInvalid(str(error)) from error
    needed = sum(entry.end - entry.start for entry in entries.values())
    if needed > min(MAX_WEIGHTS_BYTES, psutil.virtual_memory().available):
        raise AdapterInvalid(
            f"{file} needs {needed / 1e9:.1f} GB of memory, more than is free or than an adapter may have "
            f"({MAX_WEIGHTS_BYTES / 1e9:.1f} GB). Use a smaller adapter."
        )
    return entries


def _load_file(file: Path) -> Mapping[str, torch.Tensor]:
    """Copies: the tensors of ``load_file`` are parts of the file. Raises AdapterInvalid, SafetensorError, OSError."""
    _read_header(file)
    return {name: tensor.clone() for name, tensor in load_file(file).items()}


def _read_through_cache(file: Path) -> Mapping[str, torch.Tensor]:
    """The tensors of a pickle, from its safetensors copy if there is one; otherwise the copy is written.

    The copy's name is the hash of the pickle's contents: a changed file gets a new copy, and two processes that write
    at the same time write the same. A copy without its own hash beside it, or with another one, is replaced.
    Raises AdapterInvalid, SafetensorError, OSError.
    """
    folder = cache_folder() / integrity.hash_file(file)
    if integrity.read_manifest(folder):
        try:
            integrity.verify_folder(folder, (WEIGHTS_FILE,), ignore_progress)
            return _load_file(folder / WEIGHTS_FILE)
        except (ModelInvalid, AdapterInvalid, SafetensorError, OSError) as error:
            _log.info("the copy of %s is converted again: %s", file, printable(error, 200))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _log.info("%s could not be cached as safetensors: %s", file, error)
        with tempfile.TemporaryDirectory() as temporary:
            pickle_conversion.convert(file, Path(temporary) / WEIGHTS_FILE)
            return _load_file(Path(temporary) / WEIGHTS_FILE)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        pickle_conversion.convert(file, Path(temporary) / WEIGHTS_FILE)
        integrity.write_manifest(Path(temporary), (WEIGHTS_FILE,))
        for name in (WEIGHTS_FILE, integrity.MANIFEST_FILE):
            os.replace(Path(temporary) / name, folder / name)
    return _load_file(folder / WEIGHTS_FILE)
