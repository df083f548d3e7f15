"""For every test: a busy machine makes none of them fail."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed")
settings.load_profile("untimed")
