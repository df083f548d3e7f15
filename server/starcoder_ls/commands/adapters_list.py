"""``starcoder-ls adapters list``: the adapters of the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from starcoder_ls import settings
from starcoder_ls.errors import AdapterInvalid, ModelError
from starcoder_ls.settings import toml_file


def run(settings_file: Path | None, is_json: bool) -> int:
    """Print the adapters. The exit code is 0 if the files of all of them are on this machine and valid.

    Raises SettingsError.
    """
    config = settings.load(file=settings_file)
    rows = [_describe(name, adapter) for name, adapter in config.resident_adapters().items()]
    if is_json:
        print(json.dumps({"model": config.model.name, "adapters": rows}, ensure_ascii=False))
    elif not rows:
        file = settings_file or toml_file.settings_file()
        print(f"no adapters in {file}; add one with `starcoder-ls adapters add NAME PATH`")
    else:
        table = Table("name", "method", "size", "tasks", "for", "source", "files", box=None)
        for row in rows:
            documents = ", ".join([*row["languages"], *row["files"]]) or "all"
            size = f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else ""
            state = "here" if row["is_here"] else "see below"
            table.add_row(row["name"], row["method"], size, ", ".join(row["tasks"]), documents, row["source"], state)
        console = Console(highlight=False, markup=False)
        console.print(table)
        for row in rows:
            if row["problem"]:
                console.print(f"{row['name']}: {row['problem']}", soft_wrap=True)
    return 0 if all(row["is_here"] for row in rows) else 1


def _describe(name: str, adapter: settings.Adapter) -> dict[str, Any]:
    from starcoder_ls.engine.adapters import files
    from starcoder_ls.engine.loading.progress import ignore_progress

    row: dict[str, Any] = {"name": name, "method": "", "bytes": 0, "is_here": False, "problem": ""}
    row |= {"source": adapter.source, "tasks": list(adapter.tasks)}
    row |= {"languages": list(adapter.languages), "files": list(adapter.files)}
    try:
        adapter_files = files.resolve_adapter(adapter, True, ignore_progress)
    except AdapterInvalid as error:
        return row | {"problem": str(error)}
    except ModelError:
        return row | {"problem": "not here yet: downloaded when the server starts"}
    return row | {
        "method": adapter_files.config.method.peft_type,
        "bytes": adapter_files.weights.stat().st_size,
        "is_here": True,
    }
