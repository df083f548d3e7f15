"""``starcoder-ls adapters …``: which there are, more of them, fewer, whether one fits, and into the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from starcoder_ls import settings
from starcoder_ls.commands.support import settings_file
from starcoder_ls.commands.support.engines import stderr
from starcoder_ls.engine.loading.progress import ProgressCallback, ignore_progress
from starcoder_ls.errors import AdapterInvalid, ModelError, SettingsError
from starcoder_ls.routing import COMPLETION, INSTRUCT


def show(file: Path | None, is_json: bool) -> int:
    """The adapters of the settings: 0 if the files of each are here and sound."""
    chosen = settings.load(file=file)
    rows = [_described(name, adapter) for name, adapter in chosen.resident_adapters().items()]
    if is_json:
        print(json.dumps({"model": chosen.model.name, "adapters": rows}, ensure_ascii=False))
    elif not rows:
        print(f"no adapters in {file or settings.settings_file()}; add one with `starcoder-ls adapters add NAME PATH`")
    else:
        table = Table("name", "method", "size", "tasks", "for", "source", "files", box=None)
        for row in rows:
            where = ", ".join([*row["languages"], *row["files"]]) or "all"
            size = f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else ""
            state = "here" if row["is_here"] else row["problem"]
            table.add_row(row["name"], row["method"], size, ", ".join(row["tasks"]), where, row["source"], state)
        Console(highlight=False, markup=False).print(table)
    return 0 if all(row["is_here"] for row in rows) else 1


def add(name: str, path: str, file: Path | None, tasks: list[str], languages: list[str], files: list[str]) -> int:
    """Check the adapter against the settings' model, then write it into the settings file."""
    table: dict[str, Any] = {"path": path if path == settings.BUNDLED or not _is_here(path) else _absolute(path)}
    table |= {key: value for key, value in (("tasks", tasks), ("languages", languages), ("files", files)) if value}
    adapter = settings.check({"adapters": {name: table}}, "the given options").adapters[name]
    chosen = settings.load(file=file if file is None or file.exists() else None)
    kind, size_bytes, doubt = _checked(chosen.model, adapter)
    place = file or settings.settings_file()
    settings_file.put(place, ("adapters", name), table)
    for said in (doubt, _tasks_doubt(tasks, chosen)):
        if said:
            stderr.print(said, style="yellow")
    print(f"{name}: {kind}, {size_bytes / 1e6:.1f} MB, for {', '.join(adapter.tasks)}; written to {place}")
    return 0


def remove(name: str, file: Path | None) -> int:
    """Take it out of the settings file; the adapter's own files stay."""
    place = file or settings.settings_file()
    if not settings_file.drop(place, ("adapters", name)):
        raise SettingsError(f"{place} has no adapter {name}. `starcoder-ls adapters list` names those there are.")
    print(f"{name} is out of {place}; its files stay where they are")
    return 0


def check(path: str, overlay: dict[str, Any], file: Path | None, is_json: bool) -> int:
    """Load it onto the model as the server would, and say what it is; 1 if it is refused."""
    chosen = settings.load(overlay, file=file)
    adapter = chosen.resident_adapters().get(path) or settings.Adapter(path=path)
    try:
        kind, size_bytes, doubt = _checked(chosen.model, adapter)
    except ModelError as error:
        if is_json:
            print(json.dumps({"source": adapter.source, "fits": False, "problem": str(error)}, ensure_ascii=False))
        else:
            stderr.print(f"✗ {error}", style="red")
        return 1
    found = {"source": adapter.source, "fits": True, "method": kind, "bytes": size_bytes, "doubt": doubt}
    if is_json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    print(f"✓ {adapter.source}: {kind}, {size_bytes / 1e6:.2f} MB, fits {chosen.model.name}")
    if doubt:
        stderr.print(doubt, style="yellow")
    return 0


def merge(base: str, adapters: list[str], out: Path, file: Path | None) -> int:
    """A new checkpoint folder with the adapters in its weights, in the given order."""
    from starcoder_ls.engine.adapters.merge import merge as merged

    chosen = settings.load({"model": {"name": base}}, file=file)
    known = chosen.resident_adapters()
    with _shown() as report:
        merged(chosen.model, [known.get(one) or settings.Adapter(path=one) for one in adapters], out, report)
    print(f"{out}: {base} with {', '.join(adapters)}; use it as `--model {out}`")
    return 0


def _checked(model: settings.Model, adapter: settings.Adapter) -> tuple[str, int, str]:
    """Method, bytes and a doubt about the base. Raises ModelError."""
    from starcoder_ls.engine.adapters import fit
    from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
    from starcoder_ls.engine.loading import load_model

    with _shown() as report:
        prepared = prepare_adapter(adapter, model.offline, report)
        loaded = load_model.load(model, report)
        held = loaded.adapters.add("checked", prepared)
    return held.method.peft_type, held.bytes, fit.base_name_warning(prepared.files, model.name)


def _tasks_doubt(tasks: list[str], chosen: settings.Settings) -> str:
    """What to tell of tasks that nobody ever asks for."""
    actions = chosen.actions
    known = {COMPLETION, INSTRUCT, *actions, *(action.task for action in actions.values() if action.task)}
    if not (strays := [task for task in tasks if task not in known]):
        return ""
    return f"Nothing asks for the task {', '.join(strays)} yet. There are: {', '.join(sorted(known))}."


def _described(name: str, adapter: settings.Adapter) -> dict[str, Any]:
    from starcoder_ls.engine.adapters import files

    row: dict[str, Any] = {"name": name, "method": "", "bytes": 0, "is_here": False, "problem": ""}
    row |= {"source": adapter.source, "tasks": list(adapter.tasks)}
    row |= {"languages": list(adapter.languages), "files": list(adapter.files)}
    try:
        found = files.resolve_adapter(adapter, True, ignore_progress)
    except AdapterInvalid as error:
        return row | {"problem": str(error)}
    except ModelError:
        return row | {"problem": "not here yet: downloaded when the server starts"}
    return row | {"method": found.config.method.peft_type, "bytes": found.weights.stat().st_size, "is_here": True}


@contextmanager
def _shown() -> Iterator[ProgressCallback]:
    with stderr.status("loading") as line:
        yield lambda fraction, sentence: line.update(f"{sentence} ({fraction:.0%})")


def _is_here(path: str) -> bool:
    return Path(path).expanduser().exists()


def _absolute(path: str) -> str:
    """Editors start the server in folders of their own choice."""
    return str(Path(path).expanduser().resolve())
