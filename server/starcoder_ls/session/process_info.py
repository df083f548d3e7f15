"""Who shares this process, for what a user is told of it. Refuses to know how they came."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ProcessInfo:
    """Kept up to date by whoever lets windows in."""

    is_shared: bool = False
    windows: int = 1
    started_s: float = field(default_factory=time.time)

    def described(self) -> dict[str, Any]:
        """As clients see it; ``startedAt`` in seconds since 1970."""
        return {"isShared": self.is_shared, "windows": self.windows, "startedAt": int(self.started_s)}
