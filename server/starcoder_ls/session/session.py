"""One client's session. It only composes the parts that serve the client; handlers in ``features`` use them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from starcoder_ls import routing
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.lsp.client_info import ClientInfo
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.documents.notebooks import Notebooks
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.lsp.protocol import Handlers, LspProtocol
from starcoder_ls.notebooks.magics import language_of_cell
from starcoder_ls.session import text_caches
from starcoder_ls.session.adapter_sync import AdapterSync
from starcoder_ls.session.background_tasks import BackgroundTasks
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.completion_request import CompletionRequests
from starcoder_ls.session.document_completers import DocumentCompleters
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.feedback import Feedback
from starcoder_ls.session.latest_request import LatestRequest
from starcoder_ls.session.model_edits import ModelEdits
from starcoder_ls.session.next_edits import NextEdits
from starcoder_ls.session.notebook_sync import NotebookSync
from starcoder_ls.session.notebook_views import NotebookViews
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.progress import WorkDoneProgress
from starcoder_ls.session.settings_recovery import SettingsRecovery
from starcoder_ls.session.status_notifier import StatusNotifier
from starcoder_ls.session.text_sync import TextSync
from starcoder_ls.session.watched_files import FileWatching
from starcoder_ls.session.workspace_context import WorkspaceContext
from starcoder_ls.settings import Settings

_MAX_SEND_QUEUE_BYTES = 1024 * 1024
"""A client that has not read so much gets no suggestions; connections are closed at 16 times as much."""

_ids = itertools.count(1)


class Session:
    """Created for each connection. ``supervisor``, ``metrics`` and ``process_info`` are shared by all sessions.

    ``settings_file`` is the file that ``settings`` were read from; None: the user's."""

    def __init__(
        self,
        supervisor: EngineSupervisor,
        settings: Settings,
        handlers: Handlers[Session],
        metrics: Metrics,
        process_info: ProcessInfo,
        recovery: SettingsRecovery | None = None,
        settings_file: Path | None = None,
    ) -> None:
        self.id = f"client {next(_ids)}"
        self.supervisor = supervisor
        self.metrics = metrics
        self.process_info = process_info
        self._recovery = recovery
        self.engine_wait_s = 0.0
        """How long inline completion waits for a model that loads. Windows of a daemon wait, so that users do not
        notice when the daemon is replaced."""
        self.send_queue_bytes: Callable[[], int] = lambda: 0
        """How many bytes the client has been sent and has not read."""
        self.on_process_id: Callable[[int], None] = lambda _: None

        self.client = LanguageClient()
        self.protocol = LspProtocol(self, handlers, self.client.protocol)
        self.protocol.on_refused = self.client.warn_once
        self.client_settings = ClientSettings(settings, self.client.warn_once)
        self.documents = Documents()
        self.notebooks = Notebooks(self.documents)
        self._notebook_views = NotebookViews(self.documents, self.notebooks)
        self.tasks = BackgroundTasks()
        self.latest = LatestRequest()
        self.completers = DocumentCompleters(metrics)
        self.progress = WorkDoneProgress(self.client, self.tasks)
        self.context = WorkspaceContext(self.client_settings, self.documents, self.client)
        self.documents.exclusion = self.context.exclusion
        self.file_watching = FileWatching(self.client, self.tasks, self.context)
        warn = self.client.warn_once
        self.feedback = Feedback(self.client_settings, self.documents, lambda: supervisor.status().model, warn)
        model_edits = ModelEdits(self.client_settings, supervisor.ready_engine, self.id)
        self.next_edits = NextEdits(self.client_settings, self.documents, self.context.recent_edits, model_edits)
        self.text_sync = self._make_text_sync()
        self.notebook_sync = NotebookSync(self.documents, self.notebooks, self.text_sync)
        self.completion_requests = self._make_completion_requests()
        self.status_notifier = StatusNotifier(self.client, supervisor, process_info)
        self.adapter_sync = AdapterSync(
            supervisor, self.client_settings, self.client.warn_once, process_info.adapters_in_exchange, settings_file
        )

    def _make_completion_requests(self) -> CompletionRequests:
        return CompletionRequests(
            self.supervisor,
            self.client_settings,
            self.documents,
            self.latest,
            self.completers,
            self.feedback,
            self.collect_context,
            lambda: self.send_queue_bytes() > _MAX_SEND_QUEUE_BYTES,
        )

    def _make_text_sync(self) -> TextSync:
        return TextSync(
            self.documents,
            self._notebook_views,
            self.client_settings,
            self.supervisor,
            self.latest,
            self.completers,
            self.context,
            self.feedback,
            self.next_edits,
            self.prefill_cursor,
        )

    @property
    def settings(self) -> Settings:
        """The settings of this client now."""
        return self.client_settings.current

    def set_client_info(self, info: ClientInfo) -> None:
        """Called by ``initialize``."""
        self.client.info = info
        self.documents.encoding = info.encoding
        if info.process_id is not None:
            self.on_process_id(info.process_id)

    def start_recovery(self) -> None:
        """If the settings are invalid, wait until they are valid, then start the engine with them."""
        if self._recovery is not None:
            self.tasks.start(self._recovery.wait(self._use_initial))

    def _use_initial(self, settings: Settings) -> None:
        self.client_settings.replace_initial(settings)
        self.on_settings_changed()
        self.supervisor.start(self.settings)
        self.adapter_sync.sync()

    def on_settings_changed(self) -> None:
        """Called after ``client_settings`` have changed."""
        self.context.on_settings_changed()
        self.feedback.on_settings_changed()

    def cursor(self, document: Document, text: str, offset: int) -> Cursor:
        """The cursor at ``offset`` of ``text`` with the adapter that completes there and the current context.

        ``text`` is the document's, or what it becomes if a menu entry is accepted.
        """
        self.adapter_sync.follow_versions()
        resident = {adapter.name for adapter in self.supervisor.status().adapters}
        route = routing.route(self.settings, resident, routing.COMPLETION, document.language, document.path)
        notebook, language = self._notebook_views.view(document), document.language
        return Cursor(
            text=text,
            offset=offset,
            language=language if notebook is None else language_of_cell(text, language),
            path=document.path,
            document=document.uri,
            client=self.id,
            adapter=None if route is None else route.adapter,
            context=self.context.current(document.uri),
            notebook=notebook,
            folder=str(self.context.collector.root_of(document.path) or ""),
        )

    async def collect_context(self, document: Document, cursor: Cursor) -> Cursor:
        """The cursor with context from other files that is collected now, if that is due."""
        engine = self.supervisor.ready_engine()
        if engine is None:
            return cursor
        context = await self.context.collect(document, cursor.whole_text, cursor.whole_offset, engine)
        return cursor if context is cursor.context else replace(cursor, context=context)

    def prefill_cursor(self, document: Document, text: str, offset: int) -> Cursor:
        """As ``cursor``. New context is collected for later requests, but not waited for."""
        if (engine := self.supervisor.ready_engine()) is not None:
            whole_text, whole_offset = self._notebook_views.embed(document, text, offset)
            self.context.start_collecting(document, whole_text, whole_offset, engine)
        return self.cursor(document, text, offset)

    def close(self) -> None:
        """The client is gone: stop all work for it and send nothing more."""
        self.status_notifier.stop()
        self.context.close()
        self.feedback.close()
        self.next_edits.close()
        self.completers.discard_all()
        self.adapter_sync.stop()
        self.protocol.disconnect()
        self.tasks.cancel_all()
        self.latest.clear()
        self.notebooks.close_all()
        self._notebook_views.close()
        self.documents.close_all()
        text_caches.clear()
