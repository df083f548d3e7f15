"""All settings: the sections with their defaults, where values come from, and messages about wrong ones."""

from __future__ import annotations

from starcoder_ls.settings.schema import Context, Feedback, Log, Settings, Sharing, load, validate
from starcoder_ls.settings.sections.inline_completion import MAX_LINES, InlineCompletion
from starcoder_ls.settings.sections.model import (
    ADAPTER_NAME,
    AUTO,
    BUNDLED,
    BUNDLED_ADAPTERS,
    EDIT_TEMPLATE,
    TEMPLATE,
    Adapter,
    Model,
)
from starcoder_ls.settings.sections.next_edit import NextEdit
from starcoder_ls.settings.sections.remote import Remote

__all__ = [
    "ADAPTER_NAME",
    "AUTO",
    "BUNDLED",
    "BUNDLED_ADAPTERS",
    "EDIT_TEMPLATE",
    "MAX_LINES",
    "TEMPLATE",
    "Adapter",
    "Context",
    "Feedback",
    "InlineCompletion",
    "Log",
    "Model",
    "NextEdit",
    "Remote",
    "Settings",
    "Sharing",
    "load",
    "validate",
]
