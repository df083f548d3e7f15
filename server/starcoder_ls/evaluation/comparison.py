"""Two runs over the same holes, held against each other hole by hole.

Decides what is compared, which one question is tested, and says the result in a sentence. Refuses to know files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import significance
from starcoder_ls.evaluation.results import Filled, Run
from starcoder_ls.evaluation.score import Mean
from starcoder_ls.evaluation.summary import FIRST_LINE, MEASURES, Measure, by_kind

Pair = tuple[Filled, Filled]

_CERTAIN_P = 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure over some pairs: both means, and the paired difference ``second - first``."""

    group: str
    measure: Measure
    count: int
    first: float
    second: float
    difference: Mean

    @property
    def is_certain(self) -> bool:
        """The interval of the difference leaves out nothing at all happening."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to the one question that is tested: does the second run get more first lines right?"""

    better: int
    worse: int
    p: float
    main: Compared
    ratio: Mean | None
    latency: Mean | None

    @property
    def is_certain(self) -> bool:
        return self.p < _CERTAIN_P and self.main.is_certain

    def sentence(self, first: str, second: str) -> str:
        main, moved = self.main, 100 * self.main.difference.value
        counts = f"{self.better} of {main.count} holes became right and {self.worse} wrong, {_p(self.p)}"
        interval = f"95 % interval {100 * main.difference.low:+.1f} to {100 * main.difference.high:+.1f} points"
        shares = f"{100 * main.second:.1f} % of first lines right against {100 * main.first:.1f} %"
        if not self.is_certain:
            return f"No difference beyond chance: {second} has {shares} of {first} ({interval}; {counts})."
        word = "better" if moved > 0 else "worse"
        times = f", {self.ratio.value:.2f} times ({self.ratio.low:.2f} to {self.ratio.high:.2f})" if self.ratio else ""
        return f"{second} is {word} than {first}: {shares}, {moved:+.1f} points{times} ({interval}; {counts})."

    def latency_sentence(self, second: str) -> str:
        """Of the median pair; empty where no pair took any time. The interval knows nothing of what else ran."""
        if self.latency is None:
            return ""
        low, value, high = self.latency.low, self.latency.value, self.latency.high
        return (
            f"Time to the answer: {second} takes {value:.2f} times as long at the same hole ({low:.2f} to {high:.2f}), "
            "if nothing else kept the machine busy in either run."
        )


def paired(first: Run, second: Run, names: tuple[str, str]) -> list[Pair]:
    """Each hole with itself. Raises SettingsError for runs over different holes."""
    theirs, ours = ({hole.id: hole for hole in run.holes} for run in (first, second))
    shared = theirs.keys() & ours.keys()
    if len(shared) == len(theirs) == len(ours) and shared:
        return [(hole, ours[hole.id]) for hole in first.holes]
    why = _why(first, second, len(shared))
    raise SettingsError(
        f"{names[0]} and {names[1]} are not runs over the same holes ({len(theirs)} and {len(ours)} holes, "
        f"{len(shared)} in common): {why}. Make both with the same PATH, seed, kinds and number of holes, on the same "
        "files."
    )


def compared(pairs: Sequence[Pair]) -> Iterator[Compared]:
    """Each measure by kind of hole, all of them last."""
    for group in by_kind([first for first, _ in pairs]):
        chosen = [pair for pair in pairs if not group.kind or pair[0].kind == group.kind]
        for measure in MEASURES:
            yield _compared(group.name, measure, chosen)


def verdict(pairs: Sequence[Pair]) -> Verdict:
    better = sum(second.is_first_line_match and not first.is_first_line_match for first, second in pairs)
    worse = sum(first.is_first_line_match and not second.is_first_line_match for first, second in pairs)
    first, second = ([float(pair[side].is_first_line_match) for pair in pairs] for side in (0, 1))
    slow, quick = ([pair[side].elapsed_ms for pair in pairs] for side in (0, 1))
    return Verdict(
        better,
        worse,
        significance.mcnemar_p(better, worse),
        _compared("all", FIRST_LINE, pairs),
        significance.ratio(second, first),
        significance.median_ratio(quick, slow),
    )


def _compared(group: str, measure: Measure, pairs: Sequence[Pair]) -> Compared:
    first, second = [], []
    for a, b in pairs:
        one, other = measure.of(a), measure.of(b)
        if one is not None and other is not None:
            first.append(float(one))
            second.append(float(other))
    count = max(len(first), 1)
    moved = significance.difference(second, first)
    return Compared(group, measure, len(first), sum(first) / count, sum(second) / count, moved)


def _why(first: Run, second: Run, shared: int) -> str:
    if first.seed != second.seed:
        return f"their seeds are {first.seed} and {second.seed}"
    if first.wanted_per_kind != second.wanted_per_kind:
        return f"one asked for {first.wanted_per_kind} of each kind, the other for {second.wanted_per_kind}"
    if {hole.path for hole in first.holes}.isdisjoint(hole.path for hole in second.holes):
        return "they have no file in common"
    return "some files were changed in between" if shared else "the files were changed in between"


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
