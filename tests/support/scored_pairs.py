"""Pairs of scored holes with chosen outcomes, for the tests of decisions on runs."""

from __future__ import annotations

from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.holes import Kind
from starcoder_ls.evaluation.results import ScoredHole, Texts


def scored_hole(
    number: int,
    is_right: bool,
    path: str = "a.py",
    kind: Kind = Kind.LINE,
    elapsed_ms: float = 10.0,
    suggestion: str = "",
    truth: str = "",
) -> ScoredHole:
    return ScoredHole(
        id=str(number), kind=kind, language="python", path=path, line=1, has_answer=True, is_exact=is_right,
        is_first_line_match=is_right, edit_similarity=1.0, identifier_f1=None, kept_chars=0, shown_chars=0,
        elapsed_ms=elapsed_ms, texts=Texts(before="", truth=truth, suggestion=suggestion),
    )  # fmt: skip


def pairs_of(better: int, worse: int, same: int, files: int = 40, kind: Kind = Kind.LINE) -> list[Pair]:
    """Pairs spread over ``files`` files."""
    outcomes = [(False, True)] * better + [(True, False)] * worse + [(False, False)] * same
    return [
        (
            scored_hole(number, first, f"{number % files}.py", kind),
            scored_hole(number, second, f"{number % files}.py", kind),
        )
        for number, (first, second) in enumerate(outcomes)
    ]
