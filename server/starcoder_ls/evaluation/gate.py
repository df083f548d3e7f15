"""Decides whether a trained adapter may serve: held-out loss first, then holes in stages, then the guards.

Each step runs only if the one before it was passed. The verdict is one sentence with an interval.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from starcoder_ls.evaluation import gate_guards
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.gate_guards import Guard
from starcoder_ls.evaluation.sequential_test import (
    MIN_FILES,
    STAGE_HOLES,
    Decision,
    Scored,
    StageResult,
    assess_stage,
)

FOREIGN_HOLES = 200

S = TypeVar("S", bound=Scored)


class Code(enum.StrEnum):
    """Where holes are drawn."""

    HELD_OUT = "held out"
    FOREIGN = "foreign"


Measure = Callable[[Code, int, int], list[Pair]]
"""Holes in code as the base and the candidate have filled them; the arguments are their number and a seed."""


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """The losses in nats on what was held out; ``of`` says in words what they are losses of."""

    base: float
    candidate: float
    of: str = "middles in held-out files"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``stages`` are empty if the loss decided, ``guards`` if no stage showed an improvement."""

    is_passed: bool
    sentence: str
    loss: HeldOutLoss
    stages: tuple[StageResult, ...] = ()
    guards: tuple[Guard, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The content of gate.json."""
        return asdict(self)


def run_gate(
    name: str,
    loss: HeldOutLoss,
    held_out_files: int,
    measure: Measure,
    training_texts: Callable[[], Iterator[str]],
    on_stage: Callable[[StageResult], None] = lambda _: None,
) -> Verdict:
    """The verdict on the adapter ``name``. ``on_stage`` is called after each stage. Raises what ``measure`` raises."""
    refused = refuse_early(name, loss, held_out_files)
    if refused is not None:
        return refused
    pairs, stages = run_stages(
        lambda first, last, stage: measure(Code.HELD_OUT, last - first, stage), on_stage, merge_pairs
    )
    figures = describe(stages[-1])
    if stages[-1].decision is not Decision.BETTER:
        return Verdict(False, f"{name} is refused: no significant gain, {figures}.", loss, stages)
    return conclude(name, loss, stages, _check_guards(pairs, measure, training_texts), figures)


def refuse_early(name: str, loss: HeldOutLoss, units: int, unit: str = "files") -> Verdict | None:
    """The verdict if the loss is not lower or too little was held out: ``units`` files or the like; else None."""
    if loss.candidate >= loss.base:
        sentence = (
            f"{name} is refused: its loss of {loss.of} is {loss.candidate:.3f}, and that of the base {loss.base:.3f}."
        )
        return Verdict(False, sentence, loss)
    if units < MIN_FILES:
        sentence = (
            f"{name} is refused: it was trained on too little code to measure it. {units} {unit} were held "
            f"out, and a gain can be told from chance in {MIN_FILES} or more."
        )
        return Verdict(False, sentence, loss)
    return None


def run_stages(
    measure: Callable[[int, int, int], list[tuple[S, S]]],
    on_stage: Callable[[StageResult], None],
    merge: Callable[[list[tuple[S, S]], list[tuple[S, S]]], list[tuple[S, S]]] = operator.add,
) -> tuple[list[tuple[S, S]], tuple[StageResult, ...]]:
    """All pairs, and the results of the stages until one decides.

    ``measure`` returns the pairs from one number to another, for a stage; ``merge`` adds them to those before.
    """
    pairs: list[tuple[S, S]] = []
    stages: list[StageResult] = []
    while not stages or stages[-1].decision is Decision.CONTINUE:
        stage = len(stages)
        first = STAGE_HOLES[stage - 1] if stage else 0
        pairs = merge(pairs, measure(first, STAGE_HOLES[stage], stage))
        stages.append(assess_stage(pairs, stage))
        on_stage(stages[-1])
    return pairs, tuple(stages)


def conclude(
    name: str, loss: HeldOutLoss, stages: tuple[StageResult, ...], guards: tuple[Guard, ...], figures: str
) -> Verdict:
    """The verdict after a gain of ``figures``, which the guards may outweigh."""
    failed = [guard for guard in guards if not guard.is_passed]
    if failed:
        reasons = "; ".join(f"{guard.name}: {guard.sentence}" for guard in failed)
        return Verdict(False, f"{name} is refused: {reasons}, despite {figures}.", loss, stages, guards)
    return Verdict(True, f"{name} is better: {figures}.", loss, stages, guards)


def describe(result: StageResult, of: str = "right first lines", unit: str = "holes") -> str:
    """The figures of a stage in words; ``of`` says what the points are points of."""
    difference = result.difference
    return (
        f"{100 * difference.value:+.1f} points of {of} (95 % interval {100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f}; {result.holes} {unit}, {result.better} became right and {result.worse} wrong, "
        f"p = {result.p:.2g})"
    )


def merge_pairs(known: Sequence[Pair], new: Sequence[Pair]) -> list[Pair]:
    """Both without the holes that were drawn twice."""
    by_id = {first.id: (first, second) for first, second in (*known, *new)}
    return list(by_id.values())


def _check_guards(
    pairs: Sequence[Pair], measure: Measure, training_texts: Callable[[], Iterator[str]]
) -> tuple[Guard, ...]:
    own = (
        gate_guards.check_kinds(pairs),
        gate_guards.check_latency(pairs),
        gate_guards.check_secrets(pairs),
        gate_guards.check_copies(pairs, training_texts()),
    )
    if not all(guard.is_passed for guard in own):
        return own
    return (*own, gate_guards.check_foreign(measure(Code.FOREIGN, FOREIGN_HOLES, 0)))
