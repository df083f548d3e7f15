"""The score card of a model: holes in the held-out packages, filled by the model and by two baselines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.context.source_files import Source
from starcoder_ls.evaluation import holes, score
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine
from starcoder_ls.settings import InlineCompletion


@dataclass(slots=True)
class Row:
    """The answers of one completer for the holes of one kind."""

    kind: Kind
    completer: str
    answers: list[tuple[Hole, str]] = field(default_factory=list)

    @property
    def first_line_matches(self) -> score.Estimate:
        """Share of holes whose first line is right."""
        return score.estimate_proportion([score.is_first_line_match(text, hole.middle) for hole, text in self.answers])

    @property
    def similarity(self) -> score.Estimate:
        """Mean edit similarity."""
        return score.estimate_mean([score.edit_similarity(text, hole.middle) for hole, text in self.answers])

    @property
    def no_answer_share(self) -> float:
        """Share of holes without an answer."""
        return sum(not text for _, text in self.answers) / max(len(self.answers), 1)


def draw_holes(sources: Sequence[Source], count: int, seed: int) -> dict[Kind, list[Hole]]:
    """``count`` holes of each kind."""
    return {kind: holes.draw_holes(sources, kind, count, seed) for kind in holes.TEXT_KINDS}


async def complete_with_engine(
    engine: Engine,
    drawn: dict[Kind, list[Hole]],
    completer: str,
    options: InlineCompletion,
    with_adapter: Callable[[Cursor], Cursor] = lambda cursor: cursor,
) -> AsyncIterator[tuple[Row, bool]]:
    """Fills the holes with one engine. Yields the current row after each hole, and whether it is complete.

    ``with_adapter`` adds to a cursor the adapter that completes there.
    """
    for kind, drawn_holes in drawn.items():
        row = Row(kind, completer)
        for hole in drawn_holes:
            cursor = Cursor(hole.text, hole.start, "python", hole.source.path, f"{hole.source.path}/{hole.start}")
            suggestions = await suggest(engine, with_adapter(cursor), options)
            row.answers.append((hole, suggestions[0].text if suggestions else ""))
            yield row, len(row.answers) == len(drawn_holes)


def complete_with_baselines(drawn: dict[Kind, list[Hole]]) -> list[Row]:
    """The rows of two baselines without a model: no answer, and a copy of a similar line."""
    rows = []
    for kind, drawn_holes in drawn.items():
        rows.append(Row(kind, "empty answer", [(hole, "") for hole in drawn_holes]))
        rows.append(Row(kind, "copied line", [(hole, holes.copy_similar_line(hole)) for hole in drawn_holes]))
    return rows


def render_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, by kind of hole."""
    lines = [
        "| hole | filled by | first line exact, % (95 %) | edit similarity, % (95 %) | no answer, % |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: list(Kind).index(row.kind)):
        cells = (row.kind, row.completer, row.first_line_matches, row.similarity, f"{100 * row.no_answer_share:.0f}")
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def render_examples(rows: Sequence[Row], completer: str, count: int) -> str:
    """Evenly spaced answers of one completer as a Markdown table, in the order in which the holes were drawn."""
    lines = ["| before the cursor | suggested | original |", "|---|---|---|"]
    shown_rows = [row for row in rows if row.completer == completer and row.kind in (Kind.LINE, Kind.REST)]
    pairs = [answer for row in shown_rows for answer in row.answers]
    for hole, text in pairs[:: max(1, len(pairs) // count)][:count]:
        before = hole.text[: hole.start].rpartition("\n")[2].strip()[-40:]
        cells = (before, score.first_line(text)[:60] or "(nothing)", score.first_line(hole.middle)[:60])
        lines.append("| " + " | ".join(f"`{cell}`".replace("|", "\\|") if cell else "" for cell in cells) + " |")
    return "\n".join(lines)
