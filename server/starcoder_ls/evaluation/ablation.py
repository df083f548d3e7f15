"""Renders several runs over the same holes as one table, each compared with the first, and puts it into a document."""

from __future__ import annotations

from collections.abc import Sequence

from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import comparison, significance
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.results import Run
from starcoder_ls.evaluation.score import Estimate
from starcoder_ls.evaluation.summary import FIRST_LINE, NO_ANSWER, SIMILARITY, group_by_kind


def render_table(runs: Sequence[tuple[str, Run]]) -> str:
    """A Markdown table of all holes of each run, then of each kind of hole.

    Raises SettingsError if the runs are over different holes.
    """
    lines = [
        "| holes | run | first line, % (95 %) | against the first, points (95 %) | p | similarity, % "
        "| against the first (95 %) | no answer, % | time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first_name, first = runs[0]
    pairs_by_name = [(name, comparison.pair_holes(first, run, (first_name, name))) for name, run in runs]
    kinds = [group.kind for group in group_by_kind(first.holes)]
    for kind in sorted(kinds, key=bool):
        for name, pairs in pairs_by_name:
            lines.append(_row(kind, name, [pair for pair in pairs if pair[0].kind == kind or not kind]))
    return "\n".join(lines)


def _row(kind: str, name: str, pairs: Sequence[Pair]) -> str:
    verdict = comparison.compute_verdict(pairs)
    similarity = [[float(hole.edit_similarity) for hole in side] for side in zip(*pairs, strict=True)]
    holes = [second for _, second in pairs]
    is_first_run = all(first is second for first, second in pairs)
    latency = f"{verdict.latency_ratio.value:.2f}" if verdict.latency_ratio else ""
    cells = (
        f"{kind or 'all'} ({len(pairs)})",
        name,
        str(FIRST_LINE.estimate(holes)),
        "" if is_first_run else _format_points(verdict.first_line.difference),
        "" if is_first_run else f"{verdict.p:.2g}",
        SIMILARITY.format(SIMILARITY.estimate(holes).value),
        "" if is_first_run else _format_points(significance.paired_difference(similarity[1], similarity[0])),
        NO_ANSWER.format(NO_ANSWER.estimate(holes).value),
        latency,
    )
    return "| " + " | ".join(cells) + " |"


def _format_points(difference: Estimate) -> str:
    return f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def replace_block(document: str, name: str, block: str) -> str:
    """``document`` with ``block`` between the comments `<!-- name: … -->` and `<!-- end of name -->`.

    Raises SettingsError unless each of these comments occurs once, in this order.
    """
    start, end = f"<!-- {name}:", f"<!-- end of {name} -->"
    if document.count(start) != 1 or document.count(end) != 1 or document.index(end) < document.index(start):
        raise SettingsError(
            f"The document must contain `{start} … -->` once and `{end}` once after it. Add or remove such comments."
        )
    begin = document.index("-->", document.index(start)) + len("-->")
    return f"{document[:begin]}\n{block.strip()}\n{document[document.index(end) :]}"
