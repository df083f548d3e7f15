"""One client: pygls' server object with our protocol, and what features need to know of this client.

Decides how options become settings and which request is the latest of its kind. Refuses to know methods' names,
transports, and other clients.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from lsprotocol import types as t
from pygls.lsp.server import LanguageServer

from starcoder_ls import __version__, routing, settings
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.document_completer import DocumentCompleter
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.context.snippets import NO_CONTEXT
from starcoder_ls.errors import SettingsError
from starcoder_ls.lsp.converter import converter
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.protocol import Protocol, Routes
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.adapter_sync import AdapterSync
from starcoder_ls.session.client_info import ClientInfo
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.feedback import Feedback
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.status_notifier import StatusNotifier
from starcoder_ls.session.workspace_context import WorkspaceContext, file_of
from starcoder_ls.settings_merge import merged, pruned

logging.getLogger("pygls").setLevel(logging.WARNING)  # at INFO it logs whole messages: source code

_WRAPPERS = ("starcoder", "starcoder_ls", "starcoder-ls")
_MOST_BACKLOG_BYTES = 1024 * 1024
_NUMBERS = itertools.count(1)
_MEANT_FOR_OTHERS = ("trace", "token")  # VS Code's client, and the TCP transport


class Session(LanguageServer):
    """One per connection; only ``supervisor``, ``metrics`` and ``sharing`` are shared."""

    protocol: Protocol

    def __init__(
        self,
        supervisor: EngineSupervisor,
        given: settings.Settings,
        routes: Routes,
        metrics: Metrics | None = None,
        sharing: ProcessInfo | None = None,
    ) -> None:
        self.routes = routes
        self.supervisor = supervisor
        self.key = f"client {next(_NUMBERS)}"
        self.metrics = metrics or Metrics()
        self.sharing = sharing or ProcessInfo()
        self.patience_s = 0.0
        """How long ghost text waits for a model that loads: a window must not miss that its process was replaced."""
        self.backlog_bytes: Callable[[], int] = lambda: 0
        """What the client has been sent and has not read."""
        self.settings = given
        self.client = ClientInfo()
        self.on_introduction: Callable[[ClientInfo], None] = lambda _: None
        self.documents = Documents()
        self.context = WorkspaceContext(self)
        self.documents.exclusion = self.context.exclusion
        self.feedback = Feedback(self)
        self._desks: dict[str, DocumentCompleter] = {}
        self._latest: dict[tuple[str, str], RequestHandle] = {}
        self._shown: set[str] = set()
        self.cancellable: dict[int | str, RequestHandle] = {}
        """What the user may end at its progress, by token."""
        self._errands: set[asyncio.Task[Any]] = set()
        super().__init__("starcoder-ls", __version__, protocol_cls=Protocol, converter_factory=converter)
        self.announcer = StatusNotifier(self)
        self.wanted_adapters = AdapterSync(self)

    def introduce(self, client: ClientInfo) -> None:
        """``initialize`` said who the client is; ``on_introduction`` hears of it."""
        self.client = client
        self.documents.encoding = client.encoding
        self.on_introduction(client)

    def apply(self, options: object, source: str, is_shared: bool = False) -> None:
        """Lay a client's options over the settings. Bad ones change nothing and are told to the user once.

        ``options`` is the same tree as the settings file, alone or inside ``starcoder``; where ``is_shared``, other
        servers' sections may stand beside ours. Raises nothing.
        """
        tree = unwrapped(options)
        if tree is None:
            return
        known, unknown = pruned(settings.Settings, tree)
        if not is_shared and (strange := [name for name in unknown if name not in _MEANT_FOR_OTHERS]):
            self.show_once(f"There is no setting `{'`, `'.join(strange)}`; the others are used.")
        try:
            self.settings = settings.check(merged(self.settings.model_dump(), known), source)
        except SettingsError as error:
            self.show_once(f"{error} These options are ignored.")

    def begin_context(self) -> None:
        """The workspace folders are known, and the settings are."""
        self.context.begin([Path(path) for uri in self.client.folders if (path := file_of(uri))])

    @property
    def is_behind(self) -> bool:
        """The client does not read what it asked for: suggestions go first, long before the connection does."""
        return self.backlog_bytes() > _MOST_BACKLOG_BYTES

    def cursor(self, document: Document, text: str, offset: int) -> Cursor:
        """``offset`` of ``text``, a text of ``document``: who completes there, and what is shown of other files."""
        engine = self.supervisor.ready_engine()
        context = self.context.around(document, text, offset, engine) if engine else NO_CONTEXT
        resident = {adapter.name for adapter in self.supervisor.status().adapters}
        route = routing.route(self.settings, resident, routing.COMPLETION, document.language, document.path)
        return Cursor(
            text=text,
            offset=offset,
            language=document.language,
            path=document.path,
            document=document.uri,
            client=self.key,
            adapter=None if route is None else route.adapter,
            context=context,
        )

    def show_once(self, warning: str) -> None:
        """What an editor sends again and again is told of once."""
        if warning not in self._shown:
            self._shown.add(warning)
            self.show(t.MessageType.Warning, warning)

    def desk(self, uri: str) -> DocumentCompleter:
        """All that goes on for this document."""
        return self._desks.setdefault(uri, DocumentCompleter(self.metrics))

    def clear_desk(self, uri: str) -> None:
        """The document is gone, or its text is not what it was."""
        if (desk := self._desks.pop(uri, None)) is not None:
            desk.close()

    def clear_desks(self) -> None:
        for uri in list(self._desks):
            self.clear_desk(uri)

    def supersede(self, kind: str, uri: str, newer: RequestHandle | None) -> None:
        """``newer`` takes the place of the last request of its kind for ``uri``, which is answered null now."""
        older = self._latest.pop((kind, uri), None)
        if older is not None:
            older.withdraw()
        if newer is not None:
            self._latest[kind, uri] = newer

    async def is_latest(self, kind: str, uri: str, call: RequestHandle) -> bool:
        """``call`` supersedes the older one. False if a newer one is here already, so that this one costs nothing."""
        self.supersede(kind, uri, call)
        await asyncio.sleep(0)
        return not call.cancel.is_set()

    def withdraw_all(self, uri: str) -> None:
        """The text of ``uri`` is another now: whatever was asked about the old one is answered null."""
        for kind, asked_uri in list(self._latest):
            if asked_uri == uri:
                self.supersede(kind, uri, None)

    def conclude(self, kind: str, uri: str, call: RequestHandle) -> None:
        """``call`` has its result: from here on no change of the text withdraws it."""
        if self._latest.get((kind, uri)) is call:
            del self._latest[kind, uri]

    def run_errand(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Work that no cancelled request may end, such as asking the client something; it ends with the session."""
        task = asyncio.get_running_loop().create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # whoever asked may be gone
            logging.getLogger(__name__).info("an errand failed: %s", type(error).__name__)

    def show(self, severity: t.MessageType, message: str) -> None:
        """A message the user sees in any editor; only for what they must act upon."""
        self.window_show_message(t.ShowMessageParams(type=severity, message=f"StarCoder: {message}"))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """pygls would pop up a window with the exception's text in it."""
        logging.getLogger(__name__).error("%s in pygls (%s)", type(error).__name__, source.__name__)

    def close(self) -> None:
        """The client is gone: stop its work, tell it nothing more."""
        self.announcer.stop()
        self.context.close()
        self.feedback.close()
        self.clear_desks()
        self.wanted_adapters.stop()
        self.protocol.disconnect()
        for task in self._errands:
            task.cancel()
        self._latest.clear()


def unwrapped(options: object) -> Mapping[str, Any] | None:
    """The settings tree in ``options``, or None if there is none."""
    if not isinstance(options, Mapping):
        return None
    for name in _WRAPPERS:
        if isinstance(options.get(name), Mapping):
            inner: Mapping[str, Any] = options[name]
            return inner
    return options
