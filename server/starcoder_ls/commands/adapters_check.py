"""``starcoder-ls adapters check``: loads an adapter onto the model and describes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_check import check_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.errors import ModelError


def run(path: str, overlay: dict[str, Any], settings_file: Path | None, is_json: bool) -> int:
    """``path`` is a folder, a Hub id or a name in the settings. The exit code is 1 if the adapter cannot be used.

    Raises SettingsError.
    """
    config = settings.load(overlay, file=settings_file)
    adapter = config.resident_adapters().get(path) or settings.Adapter(path=path)
    try:
        checked = check_adapter(config.model, adapter)
    except ModelError as error:
        if is_json:
            print(json.dumps({"source": adapter.source, "fits": False, "problem": str(error)}, ensure_ascii=False))
        else:
            stderr.print(f"✗ {error}", style="red")
        return 1
    if is_json:
        result = {"method": checked.method, "bytes": checked.size_bytes, "doubt": checked.warning}
        print(json.dumps({"source": adapter.source, "fits": True, **result}, ensure_ascii=False))
        return 0
    print(f"✓ {adapter.source}: {checked.method}, {checked.size_bytes / 1e6:.2f} MB, fits {config.model.name}")
    if checked.warning:
        stderr.print(checked.warning, style="yellow")
    return 0
