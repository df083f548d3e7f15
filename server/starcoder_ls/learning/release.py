"""Finishes a trained checkpoint for release: expected logits and the manifest, which are checked at each load.

``python -m starcoder_ls.learning.release FOLDER`` does it again after a file of the folder was changed on purpose.
"""

from __future__ import annotations

import sys
from pathlib import Path

from starcoder_ls.engine import assembly
from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.engine.adapters.files import WEIGHTS_FILE
from starcoder_ls.engine.loading import integrity
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.runner import logit_check
from starcoder_ls.settings import Model


def finish_checkpoint(folder: Path) -> None:
    """Write expected_logits.json and SHA256SUMS. Raises ModelError if the checkpoint cannot be loaded, OSError."""
    for name in (integrity.MANIFEST_FILE, integrity.EXPECTED_LOGITS_FILE):
        (folder / name).unlink(missing_ok=True)
    loaded = assembly.load(Model(name=str(folder.absolute()), device="cpu", dtype="float32"), ignore_progress)
    logit_check.save_expected_logits(loaded.runner, loaded.tokenizer, folder)
    integrity.write_checkpoint_manifest(folder)


def finish_adapter(folder: Path) -> None:
    """Write SHA256SUMS of an adapter folder. Raises OSError."""
    integrity.write_manifest(folder, (CONFIG_FILE, WEIGHTS_FILE))


if __name__ == "__main__":
    for argument in map(Path, sys.argv[1:]):
        (finish_adapter if (argument / CONFIG_FILE).is_file() else finish_checkpoint)(argument)
