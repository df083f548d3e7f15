"""The WebSocket between a JupyterLab page and its language server. Each page has a session of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from starcoder_jupyterlab.browser_session import BrowserSession
from starcoder_jupyterlab.command import find_command

AUTH_RESOURCE = "starcoder"

_closing_sessions: set[asyncio.Task[None]] = set()


class CompletionWebSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):  # type: ignore[misc]
    """Needs a signed-in user who may execute the resource ``starcoder``."""

    auth_resource = AUTH_RESOURCE

    def initialize(self, configuration: Any) -> None:
        self._configuration = configuration
        self._session: BrowserSession | None = None

    @ws_authenticated  # type: ignore[untyped-decorator]
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the WebSocket. Raises HTTPError if the user may not use it."""
        user = self.current_user
        if not await ensure_async(self.authorizer.is_authorized(self, user, "execute", AUTH_RESOURCE)):
            raise HTTPError(403)
        await ensure_async(super().get(*args, **kwargs))

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        root = getattr(self.contents_manager, "root_dir", None)
        self._session = BrowserSession(
            self._send, lambda: find_command(self._configuration.command), Path(root) if root else None, self.log
        )
        self._session.start()

    def on_message(self, message: str | bytes) -> None:
        try:
            if self._session is not None:
                self._session.receive(json.loads(message))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.log.warning("starcoder-jupyterlab: a message was ignored (%s)", type(error).__name__)

    def on_close(self) -> None:
        if self._session is not None:
            closing = asyncio.get_running_loop().create_task(self._session.close())
            _closing_sessions.add(closing)
            closing.add_done_callback(_closing_sessions.discard)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.write_message(json.dumps(message))
        except WebSocketClosedError:
            self.log.debug("starcoder-jupyterlab: the page was closed")
