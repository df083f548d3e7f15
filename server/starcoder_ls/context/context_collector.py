"""What the other files of one client contribute to the prompt at a cursor.

Decides where candidates come from and when a document's snippets are collected again: at first, after a pause, after a
jump; never while the user types.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from starcoder_ls.context.context_request import ContextRequest
from starcoder_ls.context.identifiers import (
    CHUNK_LINES,
    CodeChunk,
    extract_identifiers,
    line_offset,
    split_into_chunks,
)
from starcoder_ls.context.ignore_files import RULE_FILES
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.imports import find_imported_files
from starcoder_ls.context.open_documents import OpenDocument, OpenDocuments
from starcoder_ls.context.secrets import mask_secrets, mask_secrets_in_range
from starcoder_ls.context.snippets import (
    NO_CONTEXT,
    Candidate,
    PromptContext,
    Snippet,
    SnippetQuery,
    SnippetSelection,
    path_in_folder,
    rank_candidates,
)
from starcoder_ls.context.source_files import (
    MAX_FILE_BYTES,
    normalize_line_ends,
    read_source,
    read_source_of_family,
)
from starcoder_ls.context.workspace_index import WorkspaceIndex
from starcoder_ls.languages.table import by_path
from starcoder_ls.settings import Context

PAUSE_S = 3.0
JUMP_LINES = 40

_MAX_IDENTIFIERS = 48
_MAX_SEARCH_HITS = 16
MAX_CONTEXTS = 64
"""Documents whose context is kept, about 100 KB each; that of another document is collected again."""

_MAX_OPEN_DOCUMENTS = 8
_MAX_EDITS = 8
_EDIT_LINES = 10
_MAX_LOOKUP_CHARS, _MAX_LOOKUP_CHARS_OF_A_FILE = 80_000, 24_000

_EDIT_WEIGHT, _IMPORT_WEIGHT, _OPEN_WEIGHT, _SAME_DOCUMENT_WEIGHT, _REPOSITORY_WEIGHT = 1.3, 1.2, 1.1, 1.1, 1.0

_WeightedText = tuple[str, float]
"""A masked text with line feeds, and the weight of its chunks."""


@dataclass(slots=True)
class _DocumentContext:
    """The context of one document, and where and when it was last requested."""

    selection: SnippetSelection = field(default_factory=SnippetSelection)
    context: PromptContext = field(default_factory=PromptContext)
    paths: frozenset[str] = frozenset()
    line: int = 0
    requested_s: float = 0.0


class ContextCollector:
    """Collects context for the documents of one client, on its event loop. ``clock`` is monotonic, in seconds."""

    def __init__(self, roots: Sequence[Path], settings: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self.rules = IgnoreRules(roots, settings.ignore, clock)
        self.workspace = WorkspaceIndex(self.rules, settings.index_files if "repository" in settings.sources else 0)
        self._open_documents: dict[str, OpenDocument] = {}
        self._edits: deque[tuple[str, int]] = deque(maxlen=_MAX_EDITS)
        self._contexts: dict[str, _DocumentContext] = {}  # the most recently requested last

    def close(self) -> None:
        self.workspace.close()

    def open_document(self, document: str, path: str, text: str, language: str = "", notebook: str = "") -> None:
        """``language`` and ``notebook``, the URI of its notebook, are those of a cell."""
        self._open_documents[document] = OpenDocument(path, text, self._clock(), language, notebook)

    def edit_document(
        self, document: str, path: str, text: str, line: int | None, language: str = "", notebook: str = ""
    ) -> None:
        """``text`` is the whole new text, ``line`` the line that was edited, if it was one."""
        self.workspace.notify_typing()
        self.open_document(document, path, text, language, notebook)
        if line is not None:
            near = [edit for edit in self._edits if edit[0] == document and abs(edit[1] - line) <= 2 * _EDIT_LINES]
            for edit in near:
                self._edits.remove(edit)
            self._edits.append((document, line))

    def close_document(self, document: str) -> None:
        self._open_documents.pop(document, None)
        self._contexts.pop(document, None)

    def update_files(self, paths: Sequence[Path]) -> None:
        """These files were changed, created or removed on disk."""
        if any(path.name in RULE_FILES for path in paths):
            self.rules.expire()
        self.workspace.update(paths)

    def collect(self, request: ContextRequest, tokens: int, count_tokens: Callable[[str], int]) -> PromptContext:
        """The context at a cursor, with snippets of at most ``tokens`` tokens. It stays while the user types."""
        if (update := self.due_update(request, tokens, count_tokens)) is not None:
            update()
        return self.current(request.document)

    def current(self, document: str) -> PromptContext:
        """What was collected last for a document."""
        current = self._contexts.get(document)
        return NO_CONTEXT if current is None else current.context

    def due_update(
        self, request: ContextRequest, tokens: int, count_tokens: Callable[[str], int]
    ) -> Callable[[], None] | None:
        """What collects the context at a cursor again, in another thread; None if the current context stays."""
        now_s, line = self._clock(), request.line
        current = self._contexts.pop(request.document, None)
        is_new = current is None
        current = self._contexts[request.document] = current or _DocumentContext()
        if len(self._contexts) > MAX_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]
        is_due = is_new or now_s - current.requested_s >= PAUSE_S or abs(line - current.line) > JUMP_LINES
        current.requested_s = now_s
        if any(self._is_excluded(path) for path in current.paths):
            is_due, current.context, current.paths = True, NO_CONTEXT, frozenset()
        if not is_due:
            return None
        current.line = line
        documents = OpenDocuments(dict(self._open_documents), tuple(self._edits))
        return partial(self._update, current, request, tokens, count_tokens, documents)

    def _update(
        self,
        current: _DocumentContext,
        request: ContextRequest,
        tokens: int,
        count_tokens: Callable[[str], int],
        documents: OpenDocuments,
    ) -> None:
        identifiers = extract_identifiers(request.lines_near_cursor)[:_MAX_IDENTIFIERS]
        hits, rarity = self.workspace.search(identifiers, _MAX_SEARCH_HITS)
        start, end = request.prompt_range
        query = SnippetQuery(identifiers, rarity, normalize_line_ends(request.text[max(0, start) : end]))
        texts = self._open_texts(request, documents)
        texts.update(self._imported_texts(request, documents, texts.keys()))
        texts.update(self._own_text(request))
        candidates = [
            Candidate(chunk, weight)
            for path, (text, weight) in texts.items()
            for chunk in split_into_chunks(path, text)
        ]
        candidates += self._edited_chunks(request, documents)
        for hit in hits:
            is_new = hit.path not in texts and hit.path != request.path
            if is_new and (chunk := self._read_chunk(hit.path, hit.start_line, request)):
                candidates.append(Candidate(chunk, _REPOSITORY_WEIGHT))
        ranked = rank_candidates(candidates, query)
        if tokens:
            current.selection.update(ranked, tokens, lambda chunk: _token_cost(chunk, count_tokens))
        else:
            current.selection.chunks = []
        chunks = [candidate.chunk for _, candidate in ranked]
        lookup_text = self._lookup_text(request, texts, chunks) if self._settings.evidence else ()
        current.paths = frozenset(
            (*texts, *(chunk.path for chunk in chunks))
        )  # before the context: it is checked first
        current.context = self._build_context(request, current.selection, tokens, count_tokens, lookup_text)

    def _open_texts(self, request: ContextRequest, documents: OpenDocuments) -> dict[str, _WeightedText]:
        """The texts of other open documents by path."""
        if "buffers" not in self._settings.sources:
            return {}
        others = documents.others(request.document, request.notebook, request.group)
        fitting = [pair for pair in others if len(pair[1].text) <= MAX_FILE_BYTES]
        return {
            other.path or key: (_prepare(other.text), _OPEN_WEIGHT)
            for key, other in fitting[:_MAX_OPEN_DOCUMENTS]
            if self.rules.exclusion_reason_of_document(key, other.path) is None
        }

    def _imported_texts(
        self, request: ContextRequest, documents: OpenDocuments, known_paths: Container[str]
    ) -> Iterator[tuple[str, _WeightedText]]:
        """The texts of imported files by path, as they are in the editor if they are open."""
        if "imports" not in self._settings.sources or not request.path:
            return
        open_texts = {other.path: other.text for other in documents.by_key.values() if not other.notebook}
        for path in find_imported_files(Path(request.path), request.text, self.rules.roots, request.language):
            name = str(path)
            if name in known_paths or self.rules.exclusion_reason(path) is not None:
                continue
            text = open_texts[name] if name in open_texts else read_source(path, self.rules.roots)
            if text and len(text) <= MAX_FILE_BYTES:
                yield name, (_prepare(text), _IMPORT_WEIGHT)

    def _own_text(self, request: ContextRequest) -> dict[str, _WeightedText]:
        """The document without what the prompt has: there the text after the cursor directly follows the text before
        it, so a look-up of n-grams would find that nothing is missing at the cursor."""
        if len(request.text) > MAX_FILE_BYTES:
            return {}
        start, end = request.prompt_range
        text = mask_secrets(request.text)
        rest = normalize_line_ends((text[:start] if start > 0 else "") + "\n" + text[end:])
        return {request.name: (rest, _SAME_DOCUMENT_WEIGHT)} if rest.strip() else {}

    def _edited_chunks(self, request: ContextRequest, documents: OpenDocuments) -> Iterator[Candidate]:
        """The lines around the latest edits in other documents."""
        if "edits" not in self._settings.sources:
            return
        for key, line in documents.edits:
            document = documents.by_key.get(key)
            if document is None or key == request.document:
                continue
            if self.rules.exclusion_reason_of_document(key, document.path) is not None:
                continue
            lines = _prepare(document.text).split("\n")
            start = max(0, line - _EDIT_LINES)
            text = "\n".join(lines[start : line + _EDIT_LINES])
            yield Candidate(CodeChunk(document.path or key, start, text), _EDIT_WEIGHT)

    def _read_chunk(self, path: str, start_line: int, request: ContextRequest) -> CodeChunk | None:
        """The current text of a chunk that the index found."""
        if self.rules.exclusion_reason(Path(path)) is not None:
            return None
        text = read_source_of_family(Path(path), request.family, self.rules.roots) or ""
        start, end = line_offset(text, start_line), line_offset(text, start_line + CHUNK_LINES)
        masked = mask_secrets_in_range(text, start, end)
        return CodeChunk(path, start_line, masked.removesuffix("\n")) if masked else None

    def _lookup_text(
        self, request: ContextRequest, texts: dict[str, _WeightedText], chunks: Sequence[CodeChunk]
    ) -> tuple[str, ...]:
        """Texts for the look-up of n-grams, the most relevant last."""
        remaining = _MAX_LOOKUP_CHARS
        selected: list[str] = []
        by_relevance = sorted(texts, key=lambda path: (path != request.name, -texts[path][1]))
        whole_texts = [texts[path][0] for path in by_relevance]
        other_chunks = [chunk.text for chunk in chunks if chunk.path not in texts]
        for text in (*whole_texts, *other_chunks):
            head = text[:_MAX_LOOKUP_CHARS_OF_A_FILE]
            if len(head) <= remaining:
                selected.append(head)
                remaining -= len(head)
        return tuple(reversed(selected))

    def _build_context(
        self,
        request: ContextRequest,
        selection: SnippetSelection,
        tokens: int,
        count_tokens: Callable[[str], int],
        lookup_text: tuple[str, ...],
    ) -> PromptContext:
        snippets = tuple(
            Snippet(path_in_folder(chunk.path, self.root_of(chunk.path)), chunk.text.strip("\n"))
            for chunk in selection.chunks
        )
        spent = sum(_token_cost(chunk, count_tokens) for chunk in selection.chunks) if tokens else 0
        root = self.root_of(request.path) or next(iter(self.rules.roots), None)
        return PromptContext(snippets, spent, lookup_text, root.name if root else "")

    def root_of(self, path: str) -> Path | None:
        """The folder of the workspace that ``path`` is in."""
        return next((root for root in self.rules.roots if Path(path).is_relative_to(root)), None)

    def _is_excluded(self, path: str) -> bool:
        return self.rules.exclusion_reason_of_document(path, path) is not None


def _prepare(text: str) -> str:
    return mask_secrets(normalize_line_ends(text))


def _token_cost(chunk: CodeChunk, count_tokens: Callable[[str], int]) -> int:
    """At most how many tokens a chunk takes in a prompt, with its path and the comment marks on each line."""
    mark_tokens = 8 if by_path(chunk.path).comment_marks[1] else 2
    return count_tokens(chunk.text) + mark_tokens * (chunk.text.count("\n") + 1) + 16
