"""Which chunks of other files are similar enough to a cursor's surroundings for the prompt, and which of them stay.

Decides what is similar, what repeats text that the prompt has already, and when a chunk is replaced by a better one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from starcoder_ls.context.identifiers import CodeChunk, content_lines, identifier_set

MAX_SNIPPETS = 8
_MAX_RANKED = 4 * MAX_SNIPPETS

_MAX_REPEATED_SHARE = 0.5
"""Of a chunk's lines, as in llama.vim: text that the prompt holds already makes a model repeat itself."""

_MIN_LINES = 3
_MIN_SCORE = 0.06
_REPLACE_BELOW = 0.6


@dataclass(frozen=True, slots=True)
class Snippet:
    """Text of another file; ``path`` is as the prompt shows it."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class PromptContext:
    """What a prompt, and the engine, may use of other files.

    ``snippets`` are part of the prompt, the most useful last, and take at most ``tokens`` with their marks.
    ``lookup_text`` is not part of the prompt; engines that look up n-grams may use it too. ``repository`` is the name
    of the workspace folder.
    """

    snippets: tuple[Snippet, ...] = ()
    tokens: int = 0
    lookup_text: tuple[str, ...] = ()
    repository: str = ""


NO_CONTEXT = PromptContext()


def path_in_folder(path: str, folder: str | PurePath | None) -> str:
    """A path as a prompt shows it: in ``folder``, so that it names no folder of the user outside of the workspace.

    An absolute path that is not in it becomes the file's name; a relative one stays.
    """
    if not path:
        return ""
    pure = PurePath(path)
    if folder and pure.is_relative_to(folder):
        return pure.relative_to(folder).as_posix()
    return pure.name if pure.is_absolute() else pure.as_posix()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that may become a snippet. ``weight`` depends on its source: more for imported files than for others."""

    chunk: CodeChunk
    weight: float = 1.0


Ranked = tuple[float, Candidate]
"""A score and its candidate."""


@dataclass(frozen=True, slots=True)
class SnippetQuery:
    """The identifiers near a cursor, the rarity of each, and the text that the prompt has already."""

    identifiers: Sequence[str]
    rarity: Mapping[str, float]
    prompt: str

    def score(self, candidate: Candidate) -> float:
        """0 to ``candidate.weight``: the share of the identifiers, weighted by rarity, that the chunk contains."""
        found = identifier_set(candidate.chunk.text)
        total = sum(self._rarity(name) for name in self.identifiers)
        shared = sum(self._rarity(name) for name in self.identifiers if name in found)
        return candidate.weight * shared / max(total, 1e-9)

    def _rarity(self, identifier: str) -> float:
        return self.rarity.get(identifier, 1.0)


def rank_candidates(candidates: Iterable[Candidate], query: SnippetQuery) -> list[Ranked]:
    """The candidates that are similar enough and repeat neither the prompt nor a better candidate; best first."""
    scored = [(score, candidate) for candidate in candidates if (score := query.score(candidate)) >= _MIN_SCORE]
    scored.sort(key=lambda pair: (-pair[0], pair[1].chunk.path, pair[1].chunk.start_line))
    used = [content_lines(query.prompt)]
    ranked: list[Ranked] = []
    for score, candidate in scored:
        lines = content_lines(candidate.chunk.text)
        max_repeated = _MAX_REPEATED_SHARE * len(lines)
        if len(lines) < _MIN_LINES or any(len(lines & other) > max_repeated for other in used):
            continue
        used.append(lines)
        ranked.append((score, candidate))
        if len(ranked) == _MAX_RANKED:
            break
    return ranked


def select_fitting(ranked: Sequence[Ranked], tokens: int, cost: Callable[[CodeChunk], int]) -> list[Candidate]:
    """The best candidates that together fit into ``tokens``; ``cost`` is the number of tokens of a chunk."""
    selected: list[Candidate] = []
    remaining = tokens
    for _, candidate in ranked:
        spent = cost(candidate.chunk)
        if spent <= remaining and len(selected) < MAX_SNIPPETS:
            selected.append(candidate)
            remaining -= spent
    return selected


@dataclass(slots=True)
class SnippetSelection:
    """The chunks that one document's prompts show, in the order of the prompt.

    They are the head of every prompt, and each change invalidates the cached prefix after it. So a chunk stays until
    it is clearly worse than another.
    """

    chunks: list[CodeChunk] = field(default_factory=list)

    def update(self, ranked: Sequence[Ranked], tokens: int, cost: Callable[[CodeChunk], int]) -> None:
        """Keep chunks that are nearly as good as the best that could replace them; put new chunks behind them."""
        best = select_fitting(ranked, tokens, cost)
        scores = {candidate.chunk: score for score, candidate in ranked}
        min_score = _REPLACE_BELOW * min((scores[candidate.chunk] for candidate in best), default=0.0)
        kept = [chunk for chunk in self.chunks if (score := scores.get(chunk)) is not None and score >= min_score]
        remaining = tokens - sum(map(cost, kept))
        added: list[CodeChunk] = []
        for candidate in best:
            spent = cost(candidate.chunk)
            is_new = candidate.chunk not in kept
            if is_new and spent <= remaining and len(kept) + len(added) < MAX_SNIPPETS:
                added.append(candidate.chunk)
                remaining -= spent
        self.chunks = kept + added[::-1]
