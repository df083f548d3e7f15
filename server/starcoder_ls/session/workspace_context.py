"""The other files of one client: its workspace folders, what is open, and which documents no model may see.

Decides when rules and index begin anew, and what a client is told of an excluded document. Refuses to know how
snippets are found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygls import uris

from starcoder_ls.context.context_collector import ContextCollector, ContextSite
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext
from starcoder_ls.generation import Engine, Status
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.settings import Context

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session

logger = logging.getLogger(__name__)

DOCUMENT_STATUS = "starcoder/documentStatus"

_CHARS_PER_TOKEN = 3.3
_AUTO_TOKENS = 512
_LEAST_CONTEXT_TOKENS = 4096


def prompt_tokens(settings: Context, status: Status) -> int:
    """Room for snippets in a prompt. docs/quality.md says what they were measured to be worth."""
    if settings.prompt_tokens == "auto":
        return _AUTO_TOKENS if status.context_tokens >= _LEAST_CONTEXT_TOKENS else 0
    return min(settings.prompt_tokens, status.context_tokens // 2)


class WorkspaceContext:
    """Of one session, on its loop. Without ``begin`` there are no folders, and rules hold all the same."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.settings.context
        self._folders: list[Path] = []
        self._surroundings: ContextCollector | None = None
        self._told: dict[str, str | None] = {}

    @property
    def surroundings(self) -> ContextCollector:
        """Made when first needed: most sessions of tests and scripts need no index."""
        if self._surroundings is None or self._settings != self._session.settings.context:
            self.begin(self._folders)
        assert self._surroundings is not None
        return self._surroundings

    @property
    def folders(self) -> list[Path]:
        return list(self._folders)

    def begin(self, folders: Iterable[Path]) -> None:
        """These are the workspace folders, and the settings are as they are now."""
        self.close()
        self._folders = list(folders)
        self._settings = self._session.settings.context
        self._surroundings = ContextCollector(self._folders, self._settings)
        for document in self._session.documents:
            self.opened(document)

    def follow_settings(self) -> None:
        """Begin anew if they say something else of context now; documents may be excluded that were not."""
        if self._settings != self._session.settings.context:
            self.begin(self._folders)

    def opened(self, document: Document) -> None:
        self.surroundings.opened(document.uri, document.path, document.text)
        self.tell(document)

    def edited(self, document: Document, line: int | None) -> None:
        self.surroundings.edited(document.uri, document.path, document.text, line)

    def closed(self, uri: str) -> None:
        self.surroundings.closed(uri)
        self._told.pop(uri, None)

    def changed_on_disk(self, changed: Iterable[str]) -> None:
        """URIs of files. Rules may be others now: clients are told of documents that this excludes or lets in."""
        paths = [Path(path) for uri in changed if (path := file_of(uri))]
        self.surroundings.changed_on_disk(paths)
        for document in self._session.documents:
            self.tell(document)

    def exclusion(self, uri: str, path: str) -> str | None:
        """Why no model may see this document, or None."""
        return self.surroundings.rules.reason_of_uri(uri, path)

    def around(self, document: Document, text: str, offset: int, engine: Engine) -> PromptContext:
        """What a model is shown of other files at ``offset`` of ``text``."""
        wanted = self._session.settings
        tokens = prompt_tokens(wanted.context, engine.status())
        if not tokens and not wanted.context.evidence:
            return NO_CONTEXT
        seen_chars = int(wanted.inline_completion.prompt_tokens * _CHARS_PER_TOKEN)
        place = ContextSite(document.uri, document.path, text, offset, seen_chars)
        return self.surroundings.gathered(place, tokens, engine.count_tokens)

    def described(self, uri: str, path: str) -> dict[str, Any]:
        """The params of ``starcoder/documentStatus``, and its result when asked."""
        reason = self.exclusion(uri, path)
        return {"uri": uri, "status": "excluded" if reason else "included", "reason": reason or ""}

    def tell(self, document: Document) -> None:
        """Clients that want status hear of a document that is excluded, and of one that no longer is."""
        reason = self.exclusion(document.uri, document.path)
        if reason != self._told.get(document.uri) and self._session.client.wants_status:
            self._session.protocol.notify(DOCUMENT_STATUS, self.described(document.uri, document.path))
        self._told[document.uri] = reason

    def close(self) -> None:
        if self._surroundings is not None:
            self._surroundings.close()
            self._surroundings = None


def file_of(uri: str) -> str:
    """The path of a file URI, else empty."""
    path: Callable[[str], str | None] = uris.to_fs_path
    try:
        return path(uri) or ""
    except ValueError:  # not every string is a URI
        return ""
