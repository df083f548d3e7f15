"""``starcoder/stats``: counters and latencies of completion since the server started, and the last answer's timings.

LSP 3.18 has no field for them in an inline completion item.
"""

from __future__ import annotations

from typing import Any

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session

METHOD = "starcoder/stats"


async def stats(session: Session, _params: object, _request: RequestHandle) -> dict[str, Any]:
    return session.metrics.summary()
