"""Pieces of other files worth showing to a model at a cursor, and which of them a document keeps.

Decides what is similar, what is too similar, and when a shown piece is clearly worse than another. Refuses to know
where candidates come from, and prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from starcoder_ls.context.identifiers import Piece, line_set, word_set

MOST_SNIPPETS = 8
_REPEATED_SHARE = 0.5
"""Of its lines: llama.vim's bound; what the prompt holds already makes a model repeat itself."""

_LEAST_LINES = 3
_LEAST_SHARE = 0.06
_CLEARLY_WORSE = 0.6


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text of another file; ``path`` is as a model shall see it."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class PromptContext:
    """What a cursor's document is shown of other files.

    ``snippets`` go into the prompt, the most useful last, and take at most ``tokens`` of it with their marks.
    ``evidence`` is text that is no part of the prompt; engines that look for repetitions may look there too.
    ``repository`` is the name of the workspace folder.
    """

    snippets: tuple[Snippet, ...] = ()
    tokens: int = 0
    lookup_text: tuple[str, ...] = ()
    repository: str = ""


NO_CONTEXT = PromptContext()


@dataclass(frozen=True, slots=True)
class Candidate:
    """``weight`` is how much its origin says for it: an imported file more than any file."""

    piece: Piece
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class SnippetQuery:
    """What is looked for: the words near a cursor with their rarity, and the text that the prompt holds anyway."""

    words: Sequence[str]
    rarity: Mapping[str, float]
    prompt: str

    def score(self, candidate: Candidate) -> float:
        """0 to ``weight``: the share of the wanted words, by rarity, that the piece has."""
        has = word_set(candidate.piece.text)
        total = sum(self._worth(word) for word in self.words)
        return candidate.weight * sum(self._worth(word) for word in self.words if word in has) / max(total, 1e-9)

    def _worth(self, word: str) -> float:
        return self.rarity.get(word, 1.0)


def ranked(candidates: Iterable[Candidate], wanted: SnippetQuery) -> list[tuple[float, Candidate]]:
    """Those that share enough words and repeat neither the prompt nor a better one; best first."""
    scored = [(score, one) for one in candidates if (score := wanted.score(one)) >= _LEAST_SHARE]
    scored.sort(key=lambda pair: (-pair[0], pair[1].piece.path, pair[1].piece.start))
    shown = [line_set(wanted.prompt)]
    kept: list[tuple[float, Candidate]] = []
    for score, one in scored:
        lines = line_set(one.piece.text)
        if len(lines) < _LEAST_LINES or any(len(lines & other) > _REPEATED_SHARE * len(lines) for other in shown):
            continue
        shown.append(lines)
        kept.append((score, one))
        if len(kept) == 4 * MOST_SNIPPETS:
            break
    return kept


def fitting(found: Sequence[tuple[float, Candidate]], tokens: int, cost: Callable[[Piece], int]) -> list[Candidate]:
    """The best that together fit ``tokens``."""
    chosen: list[Candidate] = []
    left = tokens
    for _, one in found:
        spent = cost(one.piece)
        if spent <= left and len(chosen) < MOST_SNIPPETS:
            chosen.append(one)
            left -= spent
    return chosen


@dataclass(slots=True)
class SnippetSelection:
    """What one document is shown, in the order it is shown in: that order is the head of every prompt, and each change
    costs reading all that follows. So what is there stays until it is clearly worse than what could be."""

    pieces: list[Piece] = field(default_factory=list)

    def renew(self, found: Sequence[tuple[float, Candidate]], tokens: int, cost: Callable[[Piece], int]) -> None:
        """Keep what is nearly as good as the best that could stand in its place; newcomers go behind it."""
        best = fitting(found, tokens, cost)
        scores = {one.piece: score for score, one in found}
        floor = _CLEARLY_WORSE * min((scores[one.piece] for one in best), default=0.0)
        kept = [piece for piece in self.pieces if (score := scores.get(piece)) is not None and score >= floor]
        left = tokens - sum(map(cost, kept))
        newcomers: list[Piece] = []
        for one in best:
            spent = cost(one.piece)
            if one.piece not in kept and spent <= left and len(kept) + len(newcomers) < MOST_SNIPPETS:
                newcomers.append(one.piece)
                left -= spent
        self.pieces = kept + newcomers[::-1]
