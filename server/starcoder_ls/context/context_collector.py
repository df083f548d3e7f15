"""What one client's other files say about the place of a cursor.

Decides where candidates come from and when a document's snippets are looked for anew: at first, after a pause, after
a jump; never while somebody types. Refuses to know the protocol, prompts and models.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starcoder_ls.context.identifiers import PIECE_LINES, Piece, line_start, pieces, words
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.imports import imported
from starcoder_ls.context.secrets import masked, masked_part
from starcoder_ls.context.snippets import Candidate, PromptContext, Snippet, SnippetQuery, SnippetSelection, ranked
from starcoder_ls.context.source_files import MOST_BYTES, family_of, text_of
from starcoder_ls.context.workspace_index import WorkspaceIndex
from starcoder_ls.languages.table import by_path
from starcoder_ls.settings import Context

PAUSE_S = 3.0
JUMP_LINES = 40

_NEAR_LINES_ABOVE, _NEAR_LINES_BELOW = 30, 10
_MOST_WORDS = 48
_MOST_FOUND = 16
_MOST_BUFFERS = 8
_MOST_EDITS = 8
_EDIT_LINES = 10
_EVIDENCE_CHARS, _EVIDENCE_CHARS_OF_A_FILE = 80_000, 24_000

_EDIT, _IMPORT, _OPEN, _OWN, _ANY = 1.3, 1.2, 1.1, 1.1, 1.0


@dataclass(frozen=True, slots=True)
class ContextSite:
    """A cursor in a document. ``key`` names the document, ``path`` is empty for what is no file.

    ``seen_chars`` is about how much of the text before the cursor the prompt holds; behind it, a third of that.
    """

    key: str
    path: str
    text: str
    offset: int
    seen_chars: int

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.offset)


@dataclass(slots=True)
class _Buffer:
    path: str
    text: str
    touched_s: float


@dataclass(slots=True)
class _Shown:
    """What a document is shown, and where and when that was last asked for."""

    shelf: SnippetSelection = field(default_factory=SnippetSelection)
    gathered: PromptContext = field(default_factory=PromptContext)
    paths: frozenset[str] = frozenset()
    line: int = 0
    asked_s: float = 0.0


class ContextCollector:
    """Of one client; used on its loop only. ``clock`` is monotonic, in seconds."""

    def __init__(self, roots: Sequence[Path], settings: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self.rules = IgnoreRules(roots, settings.ignore)
        self.workspace = WorkspaceIndex(self.rules, settings.index_files if "repository" in settings.sources else 0)
        self._buffers: dict[str, _Buffer] = {}
        self._edits: deque[tuple[str, int]] = deque(maxlen=_MOST_EDITS)
        self._shown: dict[str, _Shown] = {}

    def close(self) -> None:
        self.workspace.close()

    def opened(self, key: str, path: str, text: str) -> None:
        self._buffers[key] = _Buffer(path, text, self._clock())

    def edited(self, key: str, path: str, text: str, line: int | None) -> None:
        """``text`` is the whole text now, ``line`` where it was changed, if that was one place."""
        self.workspace.is_typed()
        self.opened(key, path, text)
        if line is not None:
            near = [one for one in self._edits if one[0] == key and abs(one[1] - line) <= 2 * _EDIT_LINES]
            for one in near:
                self._edits.remove(one)
            self._edits.append((key, line))

    def closed(self, key: str) -> None:
        self._buffers.pop(key, None)
        self._shown.pop(key, None)

    def changed_on_disk(self, paths: Sequence[Path]) -> None:
        self.workspace.changed(paths)

    def gathered(self, place: ContextSite, tokens: int, count: Callable[[str], int]) -> PromptContext:
        """What is shown at ``place``, in at most ``tokens`` tokens as ``count`` counts them: the same while typing."""
        now, line = self._clock(), place.line
        shown = self._shown.get(place.key)
        is_new = shown is None
        if shown is None:
            shown = self._shown[place.key] = _Shown()
        is_due = is_new or now - shown.asked_s >= PAUSE_S or abs(line - shown.line) > JUMP_LINES
        shown.asked_s = now
        if is_due or any(self._is_excluded(path) for path in shown.paths):
            shown.line = line
            self._renew(shown, place, tokens, count)
        return shown.gathered

    def _renew(self, shown: _Shown, place: ContextSite, tokens: int, count: Callable[[str], int]) -> None:
        near = _lines_around(place)
        asked = words(near)[:_MOST_WORDS]
        found, rarity = self.workspace.search(asked, _MOST_FOUND)
        before, after = place.seen_chars, place.seen_chars // 3
        prompt = place.text[max(0, place.offset - before) : place.offset + after]
        wanted = SnippetQuery(asked, rarity, prompt)
        texts = dict(self._texts(place))
        candidates = [one for path, (text, weight) in texts.items() for one in _of(path, text, weight)]
        candidates += self._edited_places(place)
        for one in found:
            if (
                one.path not in texts
                and one.path != place.path
                and (piece := self._on_disk(one.path, one.start, place))
            ):
                candidates.append(Candidate(piece, _ANY))
        best = ranked(candidates, wanted)
        if tokens:
            shown.shelf.renew(best, tokens, lambda piece: _cost(piece, count))
        else:
            shown.shelf.pieces = []
        shown.paths = frozenset((*texts, *(one.piece.path for _, one in best)))
        lookup_text = self._evidence(place, texts, [one.piece for _, one in best]) if self._settings.evidence else ()
        shown.gathered = self._laid_out(shown.shelf, tokens, count, lookup_text)

    def _texts(self, place: ContextSite) -> Iterator[tuple[str, tuple[str, float]]]:
        """Whole texts to look into, by path: the document's own, other open ones, imported ones; masked."""
        family = family_of(place.path)
        if "buffers" in self._settings.sources:
            others = [(key, one) for key, one in self._buffers.items() if key != place.key]
            others.sort(key=lambda pair: -pair[1].touched_s)
            for key, one in others[:_MOST_BUFFERS]:
                is_fit = family_of(one.path) == family and len(one.text) <= MOST_BYTES
                if is_fit and self.rules.reason_of_uri(key, one.path) is None:
                    yield one.path or key, (masked(one.text), _OPEN)
        if "imports" in self._settings.sources and place.path:
            known = {one.path for one in self._buffers.values()}
            for path in imported(Path(place.path), place.text, self.rules.roots):
                if str(path) not in known and self.rules.reason(path) is None and (text := text_of(path)):
                    yield str(path), (masked(text), _IMPORT)
        if len(place.text) <= MOST_BYTES:
            # Without what the prompt holds: there the text before the cursor is followed by the text behind it, and
            # whoever looks for repetitions would find that nothing is missing.
            above, below = place.offset - place.seen_chars, place.offset + place.seen_chars // 3
            own = masked(place.text)
            rest = (own[:above] if above > 0 else "") + "\n" + own[below:]
            if rest.strip():
                yield place.path or place.key, (rest, _OWN)

    def _edited_places(self, place: ContextSite) -> Iterator[Candidate]:
        if "edits" not in self._settings.sources:
            return
        for key, line in self._edits:
            buffer = self._buffers.get(key)
            if buffer is None or key == place.key or self.rules.reason_of_uri(key, buffer.path) is not None:
                continue
            lines = masked(buffer.text).split("\n")
            start = max(0, line - _EDIT_LINES)
            yield Candidate(Piece(buffer.path or key, start, "\n".join(lines[start : line + _EDIT_LINES])), _EDIT)

    def _on_disk(self, path: str, start: int, place: ContextSite) -> Piece | None:
        """A piece that the index found, as it is now."""
        if family_of(path) != family_of(place.path) or self.rules.reason(Path(path)) is not None:
            return None
        text = text_of(Path(path)) or ""
        begin = line_start(text, start)
        piece = masked_part(text, begin, line_start(text, start + PIECE_LINES))
        return Piece(path, start, piece.removesuffix("\n")) if piece else None

    def _evidence(
        self, place: ContextSite, texts: dict[str, tuple[str, float]], best: Sequence[Piece]
    ) -> tuple[str, ...]:
        """Text to find repetitions in, the nearest last."""
        room = _EVIDENCE_CHARS
        chosen: list[str] = []
        own = place.path or place.key
        whole = [texts[path][0] for path in sorted(texts, key=lambda path: (path != own, -texts[path][1]))]
        pieces_elsewhere = [piece.text for piece in best if piece.path not in texts]
        for text in (*whole, *pieces_elsewhere):
            kept = text[:_EVIDENCE_CHARS_OF_A_FILE]
            if len(kept) <= room:
                chosen.append(kept)
                room -= len(kept)
        return tuple(reversed(chosen))

    def _laid_out(
        self, shelf: SnippetSelection, tokens: int, count: Callable[[str], int], lookup_text: tuple[str, ...]
    ) -> PromptContext:
        snippets = tuple(Snippet(self._shown_path(piece.path), piece.text.strip("\n")) for piece in shelf.pieces)
        spent = sum(_cost(piece, count) for piece in shelf.pieces) if tokens else 0
        repository = self.rules.roots[0].name if self.rules.roots else ""
        return PromptContext(snippets, spent, lookup_text, repository)

    def _shown_path(self, path: str) -> str:
        for root in self.rules.roots:
            if Path(path).is_relative_to(root):
                return Path(path).relative_to(root).as_posix()
        return os.path.basename(path)

    def _is_excluded(self, path: str) -> bool:
        return self.rules.reason_of_uri(path, path) is not None


def _of(path: str, text: str, weight: float) -> Iterator[Candidate]:
    return (Candidate(piece, weight) for piece in pieces(path, text))


def _lines_around(place: ContextSite) -> str:
    above = place.text[: place.offset].split("\n")[-_NEAR_LINES_ABOVE:]
    below = place.text[place.offset : place.offset + 4000].split("\n")[:_NEAR_LINES_BELOW]
    return "\n".join((*below, *above))  # words are taken from the end: the nearest are the line's own


def _cost(piece: Piece, count: Callable[[str], int]) -> int:
    """Tokens of a piece as a prompt shows it: its path and a comment's marks on each line, at most."""
    marks = 8 if by_path(piece.path).comment_marks[1] else 2
    return count(piece.text) + marks * (piece.text.count("\n") + 1) + 16
