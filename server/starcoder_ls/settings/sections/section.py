"""The base of all sections of the settings: unknown keys are errors, docstrings are the descriptions in the manual."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
