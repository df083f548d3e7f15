"""``starcoder-ls adapters merge``: writes a checkpoint with adapters merged into its weights."""

from __future__ import annotations

from pathlib import Path

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_check import loading_status


def run(base: str, names: list[str], out: Path, settings_file: Path | None) -> int:
    """Merge the adapters, given as names in the settings or as paths, in that order. The exit code is 0.

    Raises ModelError, SettingsError.
    """
    from starcoder_ls.engine.adapters.merge import merge

    config = settings.load({"model": {"name": base}}, file=settings_file)
    known = config.resident_adapters()
    with loading_status() as on_progress:
        adapters = [known.get(name) or settings.Adapter(path=name) for name in names]
        merge(config.model, adapters, out, on_progress)
    print(f"{out}: {base} with {', '.join(names)}; use it as `--model {out}`")
    return 0
