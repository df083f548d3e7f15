"""``starcoder-ls train edits``: trains an adapter on the edits in the user's git history, with the loop of ``train
adapter``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_check import loading_status
from starcoder_ls.commands.train_adapter import Request, run_plan


def run(request: Request, overlay: Mapping[str, Any], settings_file: Path | None) -> int:
    """Train and write a version, or with ``is_dry_run`` only say what that takes. The exit code is 0.

    The options of ``request`` are those of ``edit_preparation.EditOptions``. A run that was interrupted is resumed.
    Raises SettingsError, ModelError, OutOfMemory.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    config = settings.load(dict(overlay), file=settings_file)
    console = Console(highlight=False)
    from starcoder_ls.learning.finetuning.edit_preparation import EditOptions, prepare
    from starcoder_ls.learning.finetuning.versions import AdapterVersions

    AdapterVersions(request.name)  # a name that is not possible is refused before the history is read
    options = EditOptions(**request.options)
    with loading_status() as on_progress:
        plan = prepare(options, config, on_progress)
    return run_plan(console, request, options, plan, config.model.name)
