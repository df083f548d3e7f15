"""Pauses of a long forward pass, in which other passes run.

The pass decides where it can stop; its caller decides what runs meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Pauses:
    """Lets a long pass stop between layers for requests that should not wait for its end.

    ``run`` may run other passes of the same model, over other caches. It is called between slices of ``layers`` layers.
    ``taken_ms`` is the time that it has taken.
    """

    run: Callable[[], None]
    layers: int
    taken_ms: float = 0.0

    def pause(self) -> None:
        since_s = time.monotonic()
        self.run()
        self.taken_ms += (time.monotonic() - since_s) * 1000
