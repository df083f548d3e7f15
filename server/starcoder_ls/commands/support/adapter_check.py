"""Loads an adapter onto the model of the settings, to check it before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starcoder_ls import settings
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.engine.loading.progress import ProgressCallback


@dataclass(frozen=True, slots=True)
class CheckedAdapter:
    """``method`` is PEFT's name. ``warning`` says that the adapter names another base model, or is empty."""

    method: str
    size_bytes: int
    warning: str


def check_adapter(model: settings.Model, adapter: settings.Adapter) -> CheckedAdapter:
    """Load the model and the adapter, as a server does. Raises ModelError."""
    from starcoder_ls.engine import assembly
    from starcoder_ls.engine.adapters import fit
    from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter

    with loading_status() as on_progress:
        prepared = prepare_adapter(adapter, model.offline, on_progress)
        loaded_model = assembly.load(model, on_progress)
        resident = loaded_model.adapters.add("checked", prepared)
    warning = fit.base_name_warning(prepared.files, model.name)
    return CheckedAdapter(resident.method.peft_type, resident.size_bytes, warning)


@contextmanager
def loading_status() -> Iterator[ProgressCallback]:
    """A progress callback that shows message and percentage on standard error."""
    with stderr.status("loading") as line:
        yield lambda fraction, message: line.update(f"{message} ({fraction:.0%})")
