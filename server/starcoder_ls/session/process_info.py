"""Who shares this process, for status messages."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ProcessInfo:
    """Updated by the daemon as windows connect and disconnect; ``started_s`` in seconds since 1970.

    ``invalid_settings_file`` is the file that the user must correct before a model can be loaded; empty: none."""

    is_shared: bool = False
    windows: int = 1
    started_s: float = field(default_factory=time.time)
    invalid_settings_file: str = ""
    adapters_in_exchange: set[str] = field(default_factory=set)
    """Names of adapters of which a session loads another version now; the other sessions leave that to it."""

    def to_json(self) -> dict[str, Any]:
        """The field ``sharing`` of ``starcoder/status``."""
        return {"isShared": self.is_shared, "windows": self.windows, "startedAt": int(self.started_s)}
