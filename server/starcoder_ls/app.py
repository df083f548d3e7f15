"""The routing table: LSP method -> handler. Start reading here.

Decides what happens when a handler fails: what the user asked for is answered with one clear sentence, what came by
itself with nothing, and neither with a traceback. Refuses to know transports and models.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from lsprotocol import types as t

from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.errors import DocumentError, DocumentExcluded, EngineNotReady, StarcoderError
from starcoder_ls.features import (
    code_action,
    code_action_resolve,
    completion,
    did_change,
    did_change_configuration,
    did_change_watched_files,
    did_change_workspace_folders,
    did_close,
    did_open,
    did_partially_accept_completion,
    did_save,
    did_show_completion,
    document_status,
    execute_command,
    initialize,
    initialized,
    inline_completion,
    prompt,
    shutdown,
    stats,
    status,
    text,
    work_done_progress_cancel,
)
from starcoder_ls.generation import Engine, EngineFactory, Status
from starcoder_ls.lsp.protocol import Notification, Request, Routes
from starcoder_ls.lsp.request_handle import RequestHandle, ResponseError
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.process_info import ProcessInfo
from starcoder_ls.session.session import Session
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
    """A request: who answers it, how its params are read, and whether the user asked for it by hand.

    ``is_silent``: a document out of step or a model that still loads is null rather than a sentence.
    """

    answer: Callable[[Session, Any, RequestHandle], Awaitable[object]]
    params: type[Any] | None = None
    is_asked: Callable[[Any], bool] = _always
    is_silent: bool = True


REQUESTS = {
    t.INITIALIZE: Route(initialize.initialize),
    t.SHUTDOWN: Route(shutdown.shutdown),
    t.TEXT_DOCUMENT_INLINE_COMPLETION: Route(
        inline_completion.inline_completion, t.InlineCompletionParams, inline_completion.is_invoked
    ),
    t.TEXT_DOCUMENT_COMPLETION: Route(completion.completion, t.CompletionParams, _never),
    t.TEXT_DOCUMENT_CODE_ACTION: Route(code_action.code_action, t.CodeActionParams, _never),
    t.CODE_ACTION_RESOLVE: Route(code_action_resolve.code_action_resolve, is_silent=False),
    t.WORKSPACE_EXECUTE_COMMAND: Route(execute_command.execute_command, t.ExecuteCommandParams, is_silent=False),
    STATUS: Route(status.status),
    DOCUMENT_STATUS: Route(document_status.document_status),
    stats.METHOD: Route(stats.stats),
    prompt.METHOD: Route(prompt.prompt, t.TextDocumentPositionParams, is_silent=False),
    text.METHOD: Route(text.text),
}

NOTIFICATIONS = {
    t.INITIALIZED: Notification(initialized.initialized),
    t.TEXT_DOCUMENT_DID_OPEN: Notification(did_open.did_open, t.DidOpenTextDocumentParams, did_change.lose_unreadable),
    t.TEXT_DOCUMENT_DID_CHANGE: Notification(
        did_change.did_change, t.DidChangeTextDocumentParams, did_change.lose_unreadable
    ),
    t.TEXT_DOCUMENT_DID_SAVE: Notification(did_save.did_save, t.DidSaveTextDocumentParams),
    did_show_completion.METHOD: Notification(did_show_completion.did_show_completion),
    did_partially_accept_completion.METHOD: Notification(
        did_partially_accept_completion.did_partially_accept_completion
    ),
    t.TEXT_DOCUMENT_DID_CLOSE: Notification(did_close.did_close, t.DidCloseTextDocumentParams),
    t.WINDOW_WORK_DONE_PROGRESS_CANCEL: Notification(
        work_done_progress_cancel.work_done_progress_cancel, t.WorkDoneProgressCancelParams
    ),
    t.WORKSPACE_DID_CHANGE_CONFIGURATION: Notification(
        did_change_configuration.did_change_configuration, t.DidChangeConfigurationParams
    ),
    t.WORKSPACE_DID_CHANGE_WATCHED_FILES: Notification(
        did_change_watched_files.did_change_watched_files, t.DidChangeWatchedFilesParams
    ),
    t.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS: Notification(
        did_change_workspace_folders.did_change_workspace_folders, t.DidChangeWorkspaceFoldersParams
    ),
}


class Server:
    """What a process serves: sessions, one per connection, around one engine.

    ``engine_factory`` creates the engine that the first client's settings ask for; the server starts and closes it.
    """

    def __init__(self, engine_factory: EngineFactory, settings: Settings) -> None:
        self._settings = settings
        self._supervisor = EngineSupervisor(engine_factory, idle_timeout_s=settings.sharing.release_minutes * 60)
        self.sharing = ProcessInfo()
        self.metrics = Metrics()
        self._routes = Routes(
            {method: _guarded_request(method, route) for method, route in REQUESTS.items()},
            {method: _guarded_notification(method, route) for method, route in NOTIFICATIONS.items()},
        )

    def session(self, settings: Settings | None = None) -> Session:
        """For one new connection, with settings of its own if it has some."""
        return Session(self._supervisor, settings or self._settings, self._routes, self.metrics, self.sharing)

    def status(self) -> Status:
        return self._supervisor.status()

    def ready_engine(self) -> Engine | None:
        """The engine if it is ready, else None; a model that was unloaded is loaded again."""
        return self._supervisor.ready_engine()

    @property
    def is_unrecoverable(self) -> bool:
        """Whether the engine fails again and again in this process; another process may be able to use the device."""
        return self._supervisor.is_unrecoverable

    def close(self) -> None:
        """Close the engine and wait for it. Idempotent."""
        self._supervisor.close()


def _guarded_request(method: str, route: Route) -> Request:
    async def answer(session: Session, params: Any, call: RequestHandle) -> object:
        try:
            return await route.answer(session, params, call)
        except ResponseError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place; see the module's docstring
            if route.is_silent and isinstance(error, DocumentExcluded):
                if route.is_asked(params):
                    session.show_once(str(error))
                return None
            if route.is_silent and isinstance(error, (DocumentError, EngineNotReady)):
                logger.info("%s (request %s): %s", method, call.id, error)
                return None
            _log(method, f"request {call.id}", error)
            if not route.is_asked(params):
                return None
            raise _refusal(error, call) from None

    return Request(answer, route.params)


def _guarded_notification(method: str, route: Notification) -> Notification:
    def note(session: Session, params: Any) -> None:
        try:
            route.note(session, params)
        except DocumentExcluded:
            logger.debug("%s: the document is excluded", method)
        except Exception as error:  # noqa: BLE001 - as above; nobody waits for an answer here
            _log(method, "notification", error)

    return Notification(note, route.params, route.unreadable)


def _refusal(error: Exception, call: RequestHandle) -> ResponseError:
    if isinstance(error, StarcoderError):
        return ResponseError(t.LSPErrorCodes.RequestFailed, str(error))
    return ResponseError(
        t.ErrorCodes.InternalError, f"This failed inside the server; its log says more (request {call.id})."
    )


def _log(method: str, which: str, error: Exception) -> None:
    """Names and places only: the text of an exception we did not write may quote source code."""
    if isinstance(error, StarcoderError):
        logger.warning("%s (%s): %s", method, which, error)
        return
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames]
    logger.error("%s (%s) failed: %s at %s", method, which, type(error).__name__, places[-1] if places else "?")
    logger.debug("%s (%s) came through %s", method, which, " > ".join(places))
