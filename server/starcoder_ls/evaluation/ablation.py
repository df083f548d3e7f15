"""Several runs over the same holes as one table, each against the first; and its place in a document.

Decides which figures a rule is judged by. Refuses to know what was changed between the runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import comparison, significance
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.results import Run
from starcoder_ls.evaluation.score import Mean
from starcoder_ls.evaluation.summary import FIRST_LINE, MEASURES, by_kind

_SIMILARITY = next(measure for measure in MEASURES if measure.name == "similarity")
_SILENCE = next(measure for measure in MEASURES if measure.name == "no answer")


def table(runs: Sequence[tuple[str, Run]]) -> str:
    """Markdown: all holes of each run, then each kind of hole of each. Raises SettingsError for different holes."""
    lines = [
        "| holes | run | first line, % (95 %) | against the first, points (95 %) | p | similarity, % "
        "| against the first (95 %) | no answer, % | time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first_name, first = runs[0]
    paired = [(name, comparison.paired(first, run, (first_name, name))) for name, run in runs]
    groups = [group.kind for group in by_kind(first.holes)]
    for kind in sorted(groups, key=bool):
        lines += [
            _row(kind, name, [pair for pair in pairs if pair[0].kind == kind or not kind]) for name, pairs in paired
        ]
    return "\n".join(lines)


def _row(kind: str, name: str, pairs: Sequence[Pair]) -> str:
    verdict = comparison.verdict(pairs)
    similarity = [[float(hole.edit_similarity) for hole in side] for side in zip(*pairs, strict=True)]
    ours = [second for _, second in pairs]
    is_same = all(first is second for first, second in pairs)
    latency = f"{verdict.latency.value:.2f}" if verdict.latency else ""
    cells = (
        f"{kind or 'all'} ({len(pairs)})",
        name,
        str(FIRST_LINE.mean(ours)),
        "" if is_same else _points(verdict.main.difference),
        "" if is_same else f"{verdict.p:.2g}",
        _SIMILARITY.shown(_SIMILARITY.mean(ours).value),
        "" if is_same else _points(significance.difference(similarity[1], similarity[0])),
        _SILENCE.shown(_SILENCE.mean(ours).value),
        latency,
    )
    return "| " + " | ".join(cells) + " |"


def _points(moved: Mean) -> str:
    return f"{100 * moved.value:+.1f} ({100 * moved.low:+.1f} to {100 * moved.high:+.1f})"


def placed(document: str, name: str, block: str) -> str:
    """``document`` with ``block`` between the comment that begins with ``name`` and the one that ends it.

    Raises SettingsError where there are no such comments, or several.
    """
    start, end = f"<!-- {name}:", f"<!-- end of {name} -->"
    if document.count(start) != 1 or document.count(end) != 1 or document.index(end) < document.index(start):
        raise SettingsError(f"The document has not one place `{start} … -->` before one `{end}`. Put them back.")
    begin = document.index("-->", document.index(start)) + len("-->")
    return f"{document[:begin]}\n{block.strip()}\n{document[document.index(end) :]}"
