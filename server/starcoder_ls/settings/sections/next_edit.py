"""The settings of next edits. Those that follow from the recent edits without a model need none."""

from __future__ import annotations

from pydantic import Field

from starcoder_ls.settings.sections.section import Section


class NextEdit(Section):
    """Next edits: `textDocument/copilotInlineEdit`."""

    model: bool = False
    """Ask the model for the next edit where none follows from the recent edits with certainty. This works with models
    that were trained on commits or issues, that are chat-tuned, or that have an adapter of `train edits`, which is
    asked first. See docs/edits.md."""

    min_confidence: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Show only edits of the model whose changed tokens have at least this probability (geometric mean)."""
