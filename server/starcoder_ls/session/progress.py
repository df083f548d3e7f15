"""The sign of life of a request that takes long: work-done progress that the user may cancel.

Decides when it appears. Refuses to know what the request does.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lsprotocol import types as t
from pygls.exceptions import JsonRpcException

from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

_QUIET_S = 0.3  # what is quicker needs no sign
_CREATE_TIMEOUT_S = 5.0
_numbers = itertools.count(1)


@asynccontextmanager
async def working(session: Session, title: str, call: RequestHandle) -> AsyncIterator[None]:
    """Progress called ``title`` while the body runs, in clients that show it. Its cancel button cancels ``call``."""
    if not session.client.has_progress:
        yield
        return
    token, is_over = f"starcoder-ls/action-{next(_numbers)}", asyncio.Event()
    session.cancellable[token] = call
    session.run_errand(_show(session, token, title, is_over))
    try:
        yield
    finally:
        del session.cancellable[token]
        is_over.set()


async def _show(session: Session, token: str, title: str, is_over: asyncio.Event) -> None:
    """An errand, because no request may wait for the client (pygls #621)."""
    try:
        await asyncio.wait_for(is_over.wait(), _QUIET_S)
        return
    except TimeoutError:
        pass
    progress = session.work_done_progress
    try:
        await asyncio.wait_for(progress.create_async(token), _CREATE_TIMEOUT_S)
    except (TimeoutError, JsonRpcException, ResponseError):
        return
    progress.begin(token, t.WorkDoneProgressBegin(title=f"StarCoder: {title}", cancellable=True))
    await is_over.wait()
    progress.end(token, t.WorkDoneProgressEnd())
