"""The other files of one client: workspace folders, open documents, recent edits, and what must not reach a model.

Decides when the ignore rules and the index are rebuilt, and when the client is notified that a document is excluded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from starcoder_ls.context.context_collector import ContextCollector
from starcoder_ls.context.context_request import ContextRequest
from starcoder_ls.context.edit_history import EditHistory, RecentEdit
from starcoder_ls.context.snippets import PromptContext
from starcoder_ls.generation import Engine, Status
from starcoder_ls.lsp.documents.applied_edit import AppliedEdit
from starcoder_ls.lsp.documents.document import Document, path_of_uri
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.notebooks.ipynb import is_notebook
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.settings import Context

DOCUMENT_STATUS = "starcoder/documentStatus"

logger = logging.getLogger(__name__)

_CHARS_PER_TOKEN = 3.3
_AUTO_PROMPT_TOKENS = 512
_MIN_CONTEXT_TOKENS = 4096
_MAX_WAIT_S = 5.0


def snippet_token_budget(settings: Context, status: Status) -> int:
    """Tokens for snippets in a prompt. docs/quality.md has the measurements behind the automatic value."""
    if settings.prompt_tokens == "auto":
        return _AUTO_PROMPT_TOKENS if status.context_tokens >= _MIN_CONTEXT_TOKENS else 0
    return min(settings.prompt_tokens, status.context_tokens // 2)


class WorkspaceContext:
    """Used on the session's event loop. Without ``set_folders`` there are no folders; the ignore rules apply anyway."""

    def __init__(self, settings: ClientSettings, documents: Documents, client: LanguageClient) -> None:
        self._client_settings, self._documents, self._client = settings, documents, client
        self._compared, self._settings = settings.current, settings.current.context
        self._folders: list[Path] = []
        self._collector: ContextCollector | None = None
        self._reported_reasons: dict[str, str | None] = {}
        self._collecting: dict[str, asyncio.Future[None]] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._edit_history = EditHistory()
        documents.edit_listeners.append(self._record_edit)

    @property
    def collector(self) -> ContextCollector:
        """Created when first needed, for the current settings."""
        current = self._client_settings.current
        if self._collector is None or (self._compared is not current and self._settings != current.context):
            self.set_folders(self._folders)
        assert self._collector is not None
        self._compared = current
        return self._collector

    @property
    def folders(self) -> list[Path]:
        """The workspace folders."""
        return list(self._folders)

    def set_folders(self, folders: Iterable[Path]) -> None:
        """Rebuild rules and index for these workspace folders and the current settings."""
        self.close()
        self._folders = list(folders)
        self._settings = self._client_settings.current.context
        self._collector = ContextCollector(self._folders, self._settings)
        for document in self._documents:
            self.on_open(document)

    def on_settings_changed(self) -> None:
        """Rebuild if the settings of ``context`` changed; other documents may be excluded then."""
        if self._settings != self._client_settings.current.context:
            self.set_folders(self._folders)

    def on_open(self, document: Document) -> None:
        self.collector.open_document(document.uri, document.path, document.text, *_cell(document))
        self._report_exclusion(document)

    def on_change(self, document: Document, line: int | None) -> None:
        """``line`` is where the text changed, if in one place."""
        self.collector.edit_document(document.uri, document.path, document.text, line, *_cell(document))

    def _record_edit(self, uri: str, edit: AppliedEdit | None) -> None:
        document = self._documents.get(uri)
        if edit is None:
            self._edit_history.forget_positions(uri)
        elif self.exclusion(uri, document.path) is None:
            self._edit_history.record(uri, document.path, document.text, edit.start, edit.removed, edit.inserted)

    def recent_edits(self) -> list[RecentEdit]:
        """The recent edits of documents that may reach a model, newest first."""
        return [edit for edit in self._edit_history.recent() if self.exclusion(edit.uri, edit.path) is None]

    def on_close(self, uri: str) -> None:
        self.collector.close_document(uri)
        self._reported_reasons.pop(uri, None)
        self._edit_history.forget_positions(uri)

    def on_files_changed(self, uris: Iterable[str]) -> None:
        """Files changed on disk, maybe ignore rules: documents may be excluded or allowed now."""
        self.collector.update_files([Path(path) for uri in uris if (path := path_of_uri(uri))])
        for document in self._documents:
            self._report_exclusion(document)

    def exclusion(self, uri: str, path: str) -> str | None:
        """Why the document must not reach a model, or None."""
        return self.collector.rules.exclusion_reason_of_document(uri, path)

    def current(self, uri: str) -> PromptContext:
        """The context from other files that was collected last for a document."""
        return self.collector.current(uri)

    async def collect(self, document: Document, text: str, offset: int, engine: Engine) -> PromptContext:
        """Context from other files for the model, at ``offset`` of ``text``.

        It is collected in a thread: the event loop also serves other clients. After ``_MAX_WAIT_S`` the answer is what
        there is.
        """
        self.start_collecting(document, text, offset, engine)
        collecting = self._collecting.get(document.uri)
        if collecting is not None:
            await asyncio.wait([collecting], timeout=_MAX_WAIT_S)
            if collecting.done() and not collecting.cancelled() and (error := collecting.exception()):
                raise error
        return self.current(document.uri)

    def start_collecting(self, document: Document, text: str, offset: int, engine: Engine) -> None:
        """Collect the context at ``offset`` of ``text`` in a thread, if it is due and not being collected."""
        settings = self._client_settings.current
        status = engine.status()
        tokens = snippet_token_budget(settings.context, status)
        if not tokens and not (settings.context.evidence and status.capabilities.document_ngrams):
            self._collecting.pop(document.uri, None)
            return
        if document.uri in self._collecting:
            return
        prompt_chars = int(settings.inline_completion.prompt_tokens * _CHARS_PER_TOKEN)
        request = ContextRequest(document.uri, document.path, text, offset, prompt_chars, *_cell(document))
        update = self.collector.due_update(request, tokens, engine.count_tokens)
        if update is None:
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "context-collector")
        collecting = asyncio.get_running_loop().run_in_executor(self._executor, update)
        self._collecting[document.uri] = collecting
        collecting.add_done_callback(partial(self._end_collecting, document.uri))

    def _end_collecting(self, uri: str, collecting: asyncio.Future[None]) -> None:
        if self._collecting.get(uri) is collecting:
            del self._collecting[uri]
        if not collecting.cancelled() and (error := collecting.exception()) is not None:
            logger.warning("context from other files was not collected: %s", type(error).__name__)

    def document_status(self, uri: str, path: str) -> dict[str, Any]:
        """The params of the notification ``starcoder/documentStatus``, and the result of the request."""
        reason = self.exclusion(uri, path)
        return {"uri": uri, "status": "excluded" if reason else "included", "reason": reason or ""}

    def _report_exclusion(self, document: Document) -> None:
        """Notify a client that wants status when a document is excluded, and when it no longer is."""
        reason = self.exclusion(document.uri, document.path)
        if reason:
            self._edit_history.discard(document.uri)
        if reason != self._reported_reasons.get(document.uri) and self._client.info.has_status:
            self._client.protocol.notify(DOCUMENT_STATUS, self.document_status(document.uri, document.path))
        self._reported_reasons[document.uri] = reason

    def close(self) -> None:
        if self._collector is not None:
            self._collector.close()
            self._collector = None
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
        self._collecting.clear()


def _cell(document: Document) -> tuple[str, str]:
    """Language and notebook of a cell, and the language of a notebook that is shown as a script.

    Empty for other documents, whose language is that of their path.
    """
    is_script = is_notebook(document.path) and not document.is_notebook_json
    return (document.language, document.notebook) if document.notebook or is_script else ("", "")
