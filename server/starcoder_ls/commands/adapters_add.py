"""``starcoder-ls adapters add``: checks an adapter and writes it to the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.commands.support import checkpoint_names
from starcoder_ls.commands.support import settings_file as settings_files
from starcoder_ls.commands.support.adapter_check import check_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.routing import COMPLETION, INSTRUCT
from starcoder_ls.settings import toml_file


def run(
    name: str, path: str, settings_file: Path | None, tasks: list[str], languages: list[str], files: list[str]
) -> int:
    """Write the table ``[adapters.NAME]``. The exit code is 0.

    Raises ModelError if the adapter does not fit the model of the settings, SettingsError; nothing is written then.
    """
    table: dict[str, Any] = {"path": checkpoint_names.absolute(path)}
    table |= {key: value for key, value in (("tasks", tasks), ("languages", languages), ("files", files)) if value}
    adapter = settings.validate({"adapters": {name: table}}, "the given options").adapters[name]
    config = settings.load(file=settings_file if settings_file is None or settings_file.exists() else None)
    checked = check_adapter(config.model, adapter)
    file = settings_file or toml_file.settings_file()
    settings_files.put(file, ("adapters", name), table)
    for warning in (checked.warning, _warn_of_unknown_tasks(tasks, config)):
        if warning:
            stderr.print(warning, style="yellow")
    size_mb = checked.size_bytes / 1e6
    print(f"{name}: {checked.method}, {size_mb:.1f} MB, for {', '.join(adapter.tasks)}; written to {file}")
    return 0


def _warn_of_unknown_tasks(tasks: list[str], config: settings.Settings) -> str:
    """A warning of tasks that no action has; empty if there are none."""
    actions = config.actions
    known = {COMPLETION, INSTRUCT, *actions, *(action.task for action in actions.values() if action.task)}
    if not (unknown := [task for task in tasks if task not in known]):
        return ""
    return f"No action has the task {', '.join(unknown)} yet. Known tasks: {', '.join(sorted(known))}."
