"""Who makes a next edit, and in which format.

Decides that an adapter of ``train edits`` comes before the base model: a base that has seen no edits can have one.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls import routing
from starcoder_ls.edit_formats import EditFormat, find_edit_format, find_trained_format
from starcoder_ls.generation import Status
from starcoder_ls.settings import BUNDLED, EDIT_TEMPLATE, Settings

_TASK = "rewrite"
"""An adapter that makes the changes which a user describes can make the next one, too."""


@dataclass(frozen=True, slots=True)
class EditRoute:
    """``adapter`` is the name of an adapter, or None for the base model."""

    edit_format: EditFormat
    adapter: str | None = None


def may_edit(settings: Settings) -> bool:
    """False if no model that these settings load makes edits. What the model itself can is known when it is loaded."""
    return settings.model.name != BUNDLED or any(
        adapter.prompt_template == EDIT_TEMPLATE for adapter in settings.resident_adapters().values()
    )


def find_edit_route(settings: Settings, status: Status, language: str = "", path: str = "") -> EditRoute | None:
    """The resident edit adapter for this document, else the base model; None if neither makes edits."""
    adapters = settings.resident_adapters()
    resident = [
        adapter.name
        for adapter in status.adapters
        if adapter.name in adapters and adapters[adapter.name].prompt_template == EDIT_TEMPLATE
    ]
    found = routing.route(settings, resident, _TASK, language, path)
    if found is not None and found.adapter is not None:
        return EditRoute(find_trained_format(status.special_tokens), found.adapter)
    edit_format = find_edit_format(settings, status)
    return None if edit_format is None else EditRoute(edit_format)
