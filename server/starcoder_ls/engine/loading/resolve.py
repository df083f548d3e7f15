"""Finds the checkpoint that the settings name, downloads it if necessary, and checks its files.

It does not import torch, so that a missing or damaged checkpoint is reported before torch is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from starcoder_ls.engine.loading import hub, integrity
from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.engine.loading.safetensors_files import INDEX_FILE
from starcoder_ls.settings import BUNDLED, Model


def resolve_checkpoint(settings: Model, on_progress: ProgressCallback) -> Checkpoint:
    """The checkpoint that ``settings`` name, downloaded first if necessary, and checked. Raises ModelError."""
    if settings.name == BUNDLED:
        checkpoint = read_checkpoint(Path(__file__).parents[2] / BUNDLED)
        integrity.require_bundled_manifest(checkpoint.folder)
    else:
        checkpoint = hub.resolve(
            settings.name, settings.revision, hub.CHECKPOINT_FILES, settings.offline, read_checkpoint, on_progress
        )
    weights = (INDEX_FILE, *(file.name for file in checkpoint.weights.files))
    names = (*integrity.CHECKPOINT_FILES, *integrity.TEMPLATE_FILES, *weights)
    return replace(checkpoint, changes=integrity.verify_folder(checkpoint.folder, names, on_progress))
