"""The routing table: LSP method -> handler. Start reading here.

Decides what happens when a handler fails. A request that the user invoked gets an error with one clear sentence, one
that the editor sent by itself gets null; tracebacks stay in the log.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from lsprotocol import types as t

from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.errors import DocumentError, DocumentExcluded, DocumentTooLarge, EngineNotReady, StarcoderError
from starcoder_ls.features import (
    code_action,
    code_action_resolve,
    completion,
    copilot_inline_edit,
    did_change,
    did_change_configuration,
    did_change_watched_files,
    did_change_workspace_folders,
    did_close,
    did_open,
    did_partially_accept_completion,
    did_save,
    did_show_completion,
    did_show_inline_edit,
    document_status,
    execute_command,
    initialize,
    initialized,
    inline_completion,
    notebook,
    notebook_did_change,
    notebook_did_close,
    notebook_did_open,
    notebook_did_save,
    prompt,
    shutdown,
    stats,
    status,
    text,
    work_done_progress_cancel,
)
from starcoder_ls.generation import Engine, EngineFactory, Status
from starcoder_ls.lsp.key_messages import DocumentChange, InlineCompletionRequest
from starcoder_ls.lsp.protocol import Handlers, NotificationHandler, RequestHandler
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.session import Session
from starcoder_ls.session.settings_recovery import InvalidSettings, SettingsRecovery
from starcoder_ls.session.status_notifier import METHOD as STATUS
from starcoder_ls.session.workspace_context import DOCUMENT_STATUS
from starcoder_ls.settings import Settings

logger = logging.getLogger(__name__)


def _always(_: object) -> bool:
    return True


def _never(_: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Route:
    """A request: its handler, the type of its params (None: parsed JSON), and whether the user invoked it.

    With ``null_if_unavailable`` the result is null, not an error, for a document that is excluded or out of sync and
    for a model that is still loading.
    """

    handle: Callable[[Session, Any, RequestHandle], Awaitable[object]]
    params: type[Any] | None = None
    is_invoked: Callable[[Any], bool] = _always
    null_if_unavailable: bool = True


REQUESTS: dict[str, Route] = {
    t.INITIALIZE: Route(initialize.initialize),
    t.SHUTDOWN: Route(shutdown.shutdown),
    t.TEXT_DOCUMENT_INLINE_COMPLETION: Route(
        inline_completion.inline_completion, InlineCompletionRequest, inline_completion.is_invoked
    ),
    t.TEXT_DOCUMENT_COMPLETION: Route(completion.completion, t.CompletionParams, _never),
    copilot_inline_edit.METHOD: Route(copilot_inline_edit.copilot_inline_edit, is_invoked=_never),
    t.TEXT_DOCUMENT_CODE_ACTION: Route(code_action.code_action, t.CodeActionParams, _never),
    t.CODE_ACTION_RESOLVE: Route(code_action_resolve.code_action_resolve, null_if_unavailable=False),
    t.WORKSPACE_EXECUTE_COMMAND: Route(
        execute_command.execute_command, t.ExecuteCommandParams, null_if_unavailable=False
    ),
    STATUS: Route(status.status),
    DOCUMENT_STATUS: Route(document_status.document_status),
    stats.METHOD: Route(stats.stats),
    prompt.METHOD: Route(prompt.prompt, t.TextDocumentPositionParams, null_if_unavailable=False),
    text.METHOD: Route(text.text),
    notebook.METHOD: Route(notebook.notebook),
}

NOTIFICATIONS: dict[str, NotificationHandler[Session]] = {
    t.INITIALIZED: NotificationHandler(initialized.initialized),
    t.TEXT_DOCUMENT_DID_OPEN: NotificationHandler(
        did_open.did_open, t.DidOpenTextDocumentParams, did_change.mark_out_of_sync
    ),
    t.TEXT_DOCUMENT_DID_CHANGE: NotificationHandler(did_change.did_change, DocumentChange, did_change.mark_out_of_sync),
    t.TEXT_DOCUMENT_DID_SAVE: NotificationHandler(did_save.did_save, t.DidSaveTextDocumentParams),
    did_show_completion.METHOD: NotificationHandler(did_show_completion.did_show_completion),
    did_show_inline_edit.METHOD: NotificationHandler(did_show_inline_edit.did_show_inline_edit),
    t.WORKSPACE_EXECUTE_COMMAND: NotificationHandler(
        copilot_inline_edit.run_command_notification, t.ExecuteCommandParams
    ),
    did_partially_accept_completion.METHOD: NotificationHandler(
        did_partially_accept_completion.did_partially_accept_completion
    ),
    t.TEXT_DOCUMENT_DID_CLOSE: NotificationHandler(did_close.did_close, t.DidCloseTextDocumentParams),
    t.NOTEBOOK_DOCUMENT_DID_OPEN: NotificationHandler(
        notebook_did_open.notebook_did_open, t.DidOpenNotebookDocumentParams, notebook_did_change.mark_out_of_sync
    ),
    t.NOTEBOOK_DOCUMENT_DID_CHANGE: NotificationHandler(
        notebook_did_change.notebook_did_change, t.DidChangeNotebookDocumentParams, notebook_did_change.mark_out_of_sync
    ),
    t.NOTEBOOK_DOCUMENT_DID_SAVE: NotificationHandler(
        notebook_did_save.notebook_did_save, t.DidSaveNotebookDocumentParams
    ),
    t.NOTEBOOK_DOCUMENT_DID_CLOSE: NotificationHandler(
        notebook_did_close.notebook_did_close, t.DidCloseNotebookDocumentParams
    ),
    t.WINDOW_WORK_DONE_PROGRESS_CANCEL: NotificationHandler(
        work_done_progress_cancel.work_done_progress_cancel, t.WorkDoneProgressCancelParams
    ),
    t.WORKSPACE_DID_CHANGE_CONFIGURATION: NotificationHandler(
        did_change_configuration.did_change_configuration, t.DidChangeConfigurationParams
    ),
    t.WORKSPACE_DID_CHANGE_WATCHED_FILES: NotificationHandler(
        did_change_watched_files.did_change_watched_files, t.DidChangeWatchedFilesParams
    ),
    t.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS: NotificationHandler(
        did_change_workspace_folders.did_change_workspace_folders, t.DidChangeWorkspaceFoldersParams
    ),
}


class Server:
    """What a process serves: one session per connection, and the engine that they share.

    ``engine_factory`` creates the engine for the settings of the first client; the server starts and closes it. With
    ``invalid`` settings there is none until they are corrected. ``settings_file`` is the file that ``settings`` were
    read from; None: the user's.
    """

    def __init__(
        self,
        engine_factory: EngineFactory,
        settings: Settings,
        invalid: InvalidSettings | None = None,
        settings_file: Path | None = None,
    ) -> None:
        self._settings, self._settings_file = settings, settings_file
        self._supervisor = EngineSupervisor(engine_factory, idle_timeout_s=settings.sharing.release_minutes * 60)
        self.process_info = ProcessInfo()
        self._recovery = SettingsRecovery(self._supervisor, self.process_info, invalid) if invalid else None
        self.metrics = Metrics()
        self.process_failure = ""
        """Why no engine can be loaded in this process any more, while another process may load one; empty: it can."""
        self._supervisor.subscribe(self._record_failure)
        self._handlers = Handlers(
            {method: _guard_request(method, route) for method, route in REQUESTS.items()},
            {method: _guard_notification(method, handler) for method, handler in NOTIFICATIONS.items()},
        )

    def create_session(self, settings: Settings | None = None, settings_file: Path | None = None) -> Session:
        """A session for a new connection; without ``settings`` it gets those of the process, and their file."""
        return Session(
            self._supervisor,
            settings or self._settings,
            self._handlers,
            self.metrics,
            self.process_info,
            self._recovery,
            self._settings_file if settings is None else settings_file,
        )

    def wrap_engines(self, wrap: Callable[[Engine], Engine]) -> None:
        """Use ``wrap(engine)`` in place of each engine that is made from now on."""
        self._supervisor.wrap_engine = wrap

    def status(self) -> Status:
        return self._supervisor.status()

    def ready_engine(self) -> Engine | None:
        """The engine if it is ready, else None; a model that was unloaded is loaded again."""
        return self._supervisor.ready_engine()

    @property
    def is_unrecoverable(self) -> bool:
        """Whether the engine fails again and again in this process; another process may be able to use the device."""
        return self._supervisor.is_unrecoverable

    def _record_failure(self, status: Status) -> None:
        """From any thread."""
        if status.needs_new_process:
            self.process_failure = status.message

    def close(self) -> None:
        """Close the engine and wait for it. Idempotent."""
        self._supervisor.close()


def _guard_request(method: str, route: Route) -> RequestHandler[Session]:
    """``route`` with exceptions converted to responses."""

    async def handle(session: Session, params: Any, request: RequestHandle) -> object:
        try:
            return await route.handle(session, params, request)
        except ResponseError:
            raise
        except Exception as error:  # noqa: BLE001 - the only broad catch; see the module's docstring
            if route.null_if_unavailable and isinstance(error, DocumentExcluded):
                if route.is_invoked(params):
                    session.client.warn_once(str(error))
                return None
            if route.null_if_unavailable and isinstance(error, (DocumentError, EngineNotReady)):
                logger.info("%s (request %s): %s", method, request.id, error)
                return None
            _log(method, f"request {request.id}", error)
            if not route.is_invoked(params):
                return None
            raise _response_error(error, request) from None

    return RequestHandler(handle, route.params)


def _guard_notification(method: str, handler: NotificationHandler[Session]) -> NotificationHandler[Session]:
    """``handler`` with exceptions logged: a notification has no response."""

    def handle(session: Session, params: Any) -> None:
        try:
            handler.handle(session, params)
        except DocumentExcluded:
            logger.debug("%s: the document is excluded", method)
        except DocumentTooLarge as error:
            logger.warning("%s: %s", method, error)
            session.client.warn_once(str(error))
        except Exception as error:  # noqa: BLE001 - as above
            _log(method, "notification", error)

    return NotificationHandler(handle, handler.params, handler.handle_invalid)


def _response_error(error: Exception, request: RequestHandle) -> ResponseError:
    if isinstance(error, StarcoderError):
        return ResponseError(t.LSPErrorCodes.RequestFailed, str(error))
    return ResponseError(
        t.ErrorCodes.InternalError, f"The server failed to handle this request; see its log (request {request.id})."
    )


def _log(method: str, message: str, error: Exception) -> None:
    """Log where ``error`` was raised, without its text unless it is ours: other texts may quote source code."""
    if isinstance(error, StarcoderError):
        logger.warning("%s (%s): %s", method, message, error)
        return
    frames = traceback.extract_tb(error.__traceback__)
    locations = [f"{PurePath(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames]
    logger.error("%s (%s) failed: %s at %s", method, message, type(error).__name__, locations[-1] if locations else "?")
    logger.debug("%s (%s) came through %s", method, message, " > ".join(locations))
