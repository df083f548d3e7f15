"""Compares two runs over the same holes, hole by hole, and states the result in a sentence.

One question is tested: whether the second run gets more first lines right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import significance
from starcoder_ls.evaluation.results import Run, ScoredHole
from starcoder_ls.evaluation.score import Estimate
from starcoder_ls.evaluation.summary import FIRST_LINE, MEASURES, Measure, group_by_kind

Pair = tuple[ScoredHole, ScoredHole]
"""The same hole in the first and in the second run."""

_SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class MeasureComparison:
    """One measure over a group of holes: the means of both runs, and the paired difference ``second - first``."""

    group: str
    measure: Measure
    count: int
    first: float
    second: float
    difference: Estimate

    @property
    def is_significant(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the second run gets more first lines right.

    ``better`` and ``worse`` count holes that became right and wrong. ``ratio`` is that of the shares of right first
    lines, None if the first run has none; ``latency_ratio`` the median over the holes, None if no time was measured.
    """

    better: int
    worse: int
    p: float
    first_line: MeasureComparison
    ratio: Estimate | None
    latency_ratio: Estimate | None

    @property
    def is_significant(self) -> bool:
        return self.p < _SIGNIFICANCE_LEVEL and self.first_line.is_significant

    def sentence(self, first: str, second: str) -> str:
        """The result in words; ``first`` and ``second`` name the runs."""
        compared, difference = self.first_line, self.first_line.difference
        counts = f"{self.better} of {compared.count} holes became right and {self.worse} wrong, {_format_p(self.p)}"
        interval = f"95 % interval {100 * difference.low:+.1f} to {100 * difference.high:+.1f} points"
        shares = f"{100 * compared.second:.1f} % of first lines right against {100 * compared.first:.1f} %"
        if not self.is_significant:
            return f"No significant difference: {second} has {shares} of {first} ({interval}; {counts})."
        word = "better" if difference.value > 0 else "worse"
        ratio = f", {self.ratio.value:.2f} times ({self.ratio.low:.2f} to {self.ratio.high:.2f})" if self.ratio else ""
        points = f"{100 * difference.value:+.1f} points"
        return f"{second} is {word} than {first}: {shares}, {points}{ratio} ({interval}; {counts})."

    def latency_sentence(self, second: str) -> str:
        """The median ratio of the times in words; empty if no time was measured."""
        if self.latency_ratio is None:
            return ""
        low, value, high = self.latency_ratio.low, self.latency_ratio.value, self.latency_ratio.high
        return (
            f"Time to the answer: {second} takes {value:.2f} times as long at the same hole ({low:.2f} to {high:.2f}), "
            "provided that nothing else kept the machine busy in either run."
        )


def pair_holes(first: Run, second: Run, names: tuple[str, str]) -> list[Pair]:
    """Each hole of the first run with the same hole of the second.

    Holes of one run only are left out if the same files were measured with the same options and others were added or
    removed since, which displaces some holes. Raises SettingsError if the holes differ otherwise.
    """
    first_by_id, second_by_id = ({hole.id: hole for hole in run.holes} for run in (first, second))
    shared = first_by_id.keys() & second_by_id.keys()
    are_same = len(shared) == len(first_by_id) == len(second_by_id)
    if shared and (are_same or _differ_in_files_only(first, second)):
        return [(hole, second_by_id[hole.id]) for hole in first.holes if hole.id in shared]
    reason = _explain_difference(first, second, len(shared))
    raise SettingsError(
        f"{names[0]} and {names[1]} are not runs over the same holes ({len(first_by_id)} and {len(second_by_id)} "
        f"holes, {len(shared)} in common): {reason}. Make both with the same PATH, seed, kinds and number of holes, on "
        "the same files."
    )


def describe_unpaired(first: Run, second: Run, pairs: Sequence[Pair]) -> str:
    """A sentence about holes that only one run has; empty if there are none."""
    counts = [len(run.holes) - len(pairs) for run in (first, second)]
    if not any(counts):
        return ""
    return (
        f"Files were added or removed between the runs: {counts[0]} holes of the first and {counts[1]} of the second "
        "are left out."
    )


def _differ_in_files_only(first: Run, second: Run) -> bool:
    """Whether files were added or removed, none was changed, and seed, number and kinds of holes are equal."""
    if first.sources.keys() == second.sources.keys():
        return False
    options = [(run.seed, run.wanted_per_kind, {hole.kind for hole in run.holes}) for run in (first, second)]
    common = first.sources.keys() & second.sources.keys()
    return options[0] == options[1] and all(first.sources[name] == second.sources[name] for name in common)


def compare_measures(pairs: Sequence[Pair]) -> Iterator[MeasureComparison]:
    """Every measure by kind of hole, and over all holes last."""
    for group in group_by_kind([first for first, _ in pairs]):
        in_group = [pair for pair in pairs if not group.kind or pair[0].kind == group.kind]
        for measure in MEASURES:
            yield _compare(group.name, measure, in_group)


def compute_verdict(pairs: Sequence[Pair]) -> Verdict:
    better = sum(second.is_first_line_match and not first.is_first_line_match for first, second in pairs)
    worse = sum(first.is_first_line_match and not second.is_first_line_match for first, second in pairs)
    first, second = ([float(pair[side].is_first_line_match) for pair in pairs] for side in (0, 1))
    first_ms, second_ms = ([pair[side].elapsed_ms for pair in pairs] for side in (0, 1))
    return Verdict(
        better,
        worse,
        significance.mcnemar_p(better, worse),
        _compare("all", FIRST_LINE, pairs),
        significance.ratio_of_means(second, first),
        significance.median_ratio(second_ms, first_ms),
    )


def _compare(group: str, measure: Measure, pairs: Sequence[Pair]) -> MeasureComparison:
    first, second = [], []
    for pair in pairs:
        first_value, second_value = map(measure.value_of, pair)
        if first_value is not None and second_value is not None:
            first.append(float(first_value))
            second.append(float(second_value))
    count = max(len(first), 1)
    difference = significance.paired_difference(second, first)
    return MeasureComparison(group, measure, len(first), sum(first) / count, sum(second) / count, difference)


def _explain_difference(first: Run, second: Run, shared: int) -> str:
    if first.seed != second.seed:
        return f"their seeds are {first.seed} and {second.seed}"
    if first.wanted_per_kind != second.wanted_per_kind:
        return f"one run requested {first.wanted_per_kind} of each kind, the other for {second.wanted_per_kind}"
    if {hole.path for hole in first.holes}.isdisjoint(hole.path for hole in second.holes):
        return "they have no file in common"
    return "some files were changed in between" if shared else "the files were changed in between"


def _format_p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
