"""A forward pass over the new tokens of one cache: what generation requests and the model runner computes.

Each pass names the logits that it needs, so that the output layer computes no others.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from starcoder_ls.engine.kv_cache.cache import KvCache


class LogitsFor(enum.Enum):
    """The tokens of a pass after which logits are computed."""

    NONE = enum.auto()
    LAST = enum.auto()
    ALL = enum.auto()


@dataclass(eq=False, slots=True)
class ForwardPass:
    """Read ``rows`` behind the tokens that ``cache`` holds; the rows have equally many new tokens.

    ``took_ms`` is set by the runner: how long the pass ran, including the tokens of other requests in the same batch.
    """

    rows: list[list[int]]  # [rows, time]
    cache: KvCache
    logits_for: LogitsFor = LogitsFor.LAST
    took_ms: float = 0.0

    @property
    def tokens(self) -> int:
        """New tokens in all rows."""
        return len(self.rows) * len(self.rows[0])

    @property
    def logit_positions(self) -> slice:
        """The new tokens of each row after which logits are computed."""
        end = len(self.rows[0])
        if self.logits_for is LogitsFor.ALL:
            return slice(0, end)
        return slice(end - 1, end) if self.logits_for is LogitsFor.LAST else slice(0, 0)
