"""Next edits that the model proposes for one client, where the recent edits leave none that is certain.

Decides when the model is not asked: while the setting is off, while the user types, and a second time about the same
text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.errors import StarcoderError
from starcoder_ls.generation import Engine
from starcoder_ls.next_edit.edit_route import find_edit_route, may_edit
from starcoder_ls.next_edit.mechanical import OpenText
from starcoder_ls.next_edit.model_source import EditRequest, find_model_edit, keeps_syntax, prepare_edit
from starcoder_ls.next_edit.token_changes import Replacement
from starcoder_ls.session.client_settings import ClientSettings

logger = logging.getLogger(__name__)

REST_S = 0.25
"""How long the text must rest first. An edit that is computed between two keys is never shown, and delays both."""

_Key = tuple[str, str, tuple[int, ...]]
"""The document, its text and the lines of the window."""


class ModelEdits:
    """``ready_engine`` returns the engine if it can answer now. ``client`` identifies the client to it."""

    def __init__(
        self,
        settings: ClientSettings,
        ready_engine: Callable[[], Engine | None],
        client: str,
        rest: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._settings, self._ready_engine, self._client, self._rest = settings, ready_engine, client, rest
        self._running = CancelFlag()
        self._number = 0
        """Of the request that runs; engines set the flag also of those that ended by themselves."""
        self._latest: tuple[_Key, Replacement | None] | None = None

    async def find(
        self, document: OpenText, cursor: int, edits: list[RecentEdit], executor: Executor
    ) -> Replacement | None:
        """The edit after ``edits``, newest first; None if the model has none of which it is confident.

        ``executor`` runs what takes long.
        """
        self.cancel()
        settings = self._settings.current
        if not settings.next_edit.model or not may_edit(settings):
            return None
        number = self._number
        await self._rest(REST_S)
        engine = self._ready_engine() if self._number == number else None
        if engine is None:
            return None
        route = find_edit_route(settings, engine.status(), document.language, document.path)
        if route is None:
            return None
        self._running = cancel = CancelFlag()
        try:
            request = prepare_edit(engine, route, document, cursor, edits, self._client, cancel)
            if request is None:
                return None
            key = document.uri, document.text, request.window.starts
            if self._latest is None or self._latest[0] != key:
                found = await self._ask(engine, request, executor)
                if self._number != number:
                    return None
                self._latest = key, found
        except StarcoderError as error:
            logger.debug("no next edit by the model: %s", type(error).__name__)
            return None
        return self._latest[1]

    def cancel(self) -> None:
        """Stop the request that runs: a key was pressed, or there is a newer one."""
        self._running.set()
        self._number += 1

    async def _ask(self, engine: Engine, request: EditRequest, executor: Executor) -> Replacement | None:
        found = await find_model_edit(engine, request)
        if found is None or found.confidence < self._settings.current.next_edit.min_confidence:
            return None
        loop = asyncio.get_running_loop()
        is_valid = await loop.run_in_executor(executor, keeps_syntax, request.document, found.replacement)
        return found.replacement if is_valid else None
