"""Work-done progress of requests that take long, which the user can cancel."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lsprotocol import types as t

from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.background_tasks import BackgroundTasks

DELAY_S = 0.3
_CREATE_TIMEOUT_S = 5.0
_numbers = itertools.count(1)


class WorkDoneProgress:
    """The progress of one client's requests. Requests that take less than ``delay_s`` show none."""

    def __init__(self, client: LanguageClient, tasks: BackgroundTasks, delay_s: float = DELAY_S) -> None:
        self._client, self._tasks, self._delay_s = client, tasks, delay_s
        self._cancellable: dict[int | str, RequestHandle] = {}

    @asynccontextmanager
    async def report(self, title: str, request: RequestHandle) -> AsyncIterator[None]:
        """Show progress named ``title`` during the body, if the client can. Its cancel button cancels ``request``."""
        if not self._client.info.has_progress:
            yield
            return
        token, has_ended = f"starcoder-ls/action-{next(_numbers)}", asyncio.Event()
        self._cancellable[token] = request
        self._tasks.start(self._show(token, title, has_ended))
        try:
            yield
        finally:
            del self._cancellable[token]
            has_ended.set()

    def cancel(self, token: int | str) -> None:
        """Cancel the request that shows ``token``; ignored if it has ended."""
        if (request := self._cancellable.get(token)) is not None:
            request.cancel_by_client()

    async def _show(self, token: str, title: str, has_ended: asyncio.Event) -> None:
        """A background task, because no request may wait for the client (pygls #621)."""
        try:
            await asyncio.wait_for(has_ended.wait(), self._delay_s)
            return
        except TimeoutError:
            pass
        progress = self._client.work_done_progress
        try:
            await asyncio.wait_for(progress.create_async(token), _CREATE_TIMEOUT_S)
        except (TimeoutError, ResponseError):
            return
        progress.begin(token, t.WorkDoneProgressBegin(title=f"StarCoder: {title}", cancellable=True))
        await has_ended.wait()
        progress.end(token, t.WorkDoneProgressEnd())
