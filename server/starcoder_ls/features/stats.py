"""``starcoder/stats``: what answering has cost and saved since the server started, and the last answer's timings.

An inline completion item has no place for them in LSP 3.18; so they are asked for.
"""

from __future__ import annotations

from typing import Any

from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session

METHOD = "starcoder/stats"


async def stats(session: Session, _params: object, _call: RequestHandle) -> dict[str, Any]:
    return session.metrics.summary()
