"""The score card of a model: holes in the held-out packages, filled in every way that is to be compared.

Decides what is compared with what. Refuses to know how engines are made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.evaluation import holes, score
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine
from starcoder_ls.learning.sources import Source
from starcoder_ls.settings import InlineCompletion


@dataclass(slots=True)
class Row:
    """One way to fill holes of one kind."""

    kind: Kind
    way: str
    answers: list[tuple[Hole, str]] = field(default_factory=list)

    @property
    def matches(self) -> score.Mean:
        return score.share([score.is_first_line_match(text, hole.middle) for hole, text in self.answers])

    @property
    def similarity(self) -> score.Mean:
        return score.mean([score.edit_similarity(text, hole.middle) for hole, text in self.answers])

    @property
    def silence(self) -> float:
        """Share of holes without an answer."""
        return sum(not text for _, text in self.answers) / max(len(self.answers), 1)


def drawn(sources: Sequence[Source], count: int, seed: int) -> dict[Kind, list[Hole]]:
    return {kind: holes.drawn(sources, kind, count, seed) for kind in holes.BY_TEXT}


async def by_engine(
    engine: Engine, cut: dict[Kind, list[Hole]], way: str, options: InlineCompletion
) -> AsyncIterator[tuple[Row, bool]]:
    """The rows of one engine with one set of options; yields after each hole, and whether its row is complete."""
    for kind, cut_holes in cut.items():
        row = Row(kind, way)
        for hole in cut_holes:
            cursor = Cursor(hole.text, hole.start, "python", hole.source.path, f"{hole.source.path}/{hole.start}")
            found = await suggest(engine, cursor, options)
            row.answers.append((hole, found[0].text if found else ""))
            yield row, len(row.answers) == len(cut_holes)


def by_copying(cut: dict[Kind, list[Hole]]) -> list[Row]:
    """The floors: nothing, and the line after the most similar earlier line."""
    rows = []
    for kind, cut_holes in cut.items():
        rows.append(Row(kind, "empty answer", [(hole, "") for hole in cut_holes]))
        rows.append(Row(kind, "copied line", [(hole, holes.copied_line(hole)) for hole in cut_holes]))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Markdown, best read per kind."""
    lines = [
        "| hole | filled by | first line exact, % (95 %) | edit similarity, % (95 %) | no answer, % |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: list(Kind).index(row.kind)):
        cells = (row.kind, row.way, row.matches, row.similarity, f"{100 * row.silence:.0f}")
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def examples(rows: Sequence[Row], way: str, count: int) -> str:
    """The first answers of one way as a Markdown table, good and bad, in the order they were drawn."""
    lines = ["| before the cursor | suggested | really there |", "|---|---|---|"]
    pairs = [answer for row in rows if row.way == way and row.kind in (Kind.LINE, Kind.REST) for answer in row.answers]
    for hole, text in pairs[:: max(1, len(pairs) // count)][:count]:
        before = hole.text[: hole.start].rpartition("\n")[2].strip()[-40:]
        cells = (before, score.first_line(text)[:60] or "(nothing)", score.first_line(hole.middle)[:60])
        lines.append("| " + " | ".join(f"`{cell}`".replace("|", "\\|") if cell else "" for cell in cells) + " |")
    return "\n".join(lines)
