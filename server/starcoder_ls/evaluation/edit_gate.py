"""Decides whether an adapter that was trained on edits may serve: held-out loss, edits in stages, then the guards.

The stages and their levels are those of the gate for completion (``sequential_test``), with commits in place of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from starcoder_ls.context.secrets import contains_secret
from starcoder_ls.evaluation import gate, gate_guards
from starcoder_ls.evaluation.edit_scores import Outcome, ScoredEdit
from starcoder_ls.evaluation.gate import HeldOutLoss, Verdict
from starcoder_ls.evaluation.gate_guards import Guard
from starcoder_ls.evaluation.sequential_test import Decision, StageResult, sign_test_p

EditPair = tuple[ScoredEdit, ScoredEdit]
"""The same edit by the base and by the candidate."""
MeasureEdits = Callable[[int, int], list[EditPair]]
"""The edits of the held-out commits from one number to another, as base and candidate have made them."""

OF = "edits made exactly"
SPREAD_LEVEL = 0.05
"""Of edits that change other lines becoming more."""


def run_edit_gate(
    name: str,
    loss: HeldOutLoss,
    held_out_commits: int,
    measure: MeasureEdits,
    training_texts: Callable[[], Iterator[str]],
    on_stage: Callable[[StageResult], None] = lambda _: None,
) -> Verdict:
    """The verdict on the adapter ``name``. ``on_stage`` is called after each stage. Raises what ``measure`` raises."""
    refused = gate.refuse_early(name, loss, held_out_commits, "commits")
    if refused is not None:
        return refused
    pairs, stages = gate.run_stages(lambda first, last, _: measure(first, last), on_stage)
    figures = f"{gate.describe(stages[-1], OF, 'edits')}; {_describe_spread(pairs)}"
    if stages[-1].decision is not Decision.BETTER:
        return Verdict(False, f"{name} is refused: no significant gain, {figures}.", loss, stages)
    guards = (
        check_spread(pairs),
        gate_guards.check_latency(pairs),
        check_secrets(pairs),
        gate_guards.check_copied_texts([_texts(pair) for pair in pairs], training_texts()),
    )
    return gate.conclude(name, loss, stages, guards, figures)


def check_spread(pairs: Sequence[EditPair]) -> Guard:
    """Answers that change other lines than the edit may not become significantly more (sign test).

    Only edits that both sides answer count: a side that answers nothing changes nothing.
    """
    both = [pair for pair in pairs if all(side.outcome is not Outcome.UNCHANGED for side in pair)]
    lost = sum(first.is_only_intended and not second.is_only_intended for first, second in both)
    gained = sum(second.is_only_intended and not first.is_only_intended for first, second in both)
    found = f"of {len(both)} edits that both change, {gained} no longer change other lines and {lost} now do"
    return Guard("other lines", sign_test_p(lost, gained) >= SPREAD_LEVEL, found)


def check_secrets(pairs: Sequence[EditPair]) -> Guard:
    """Answers may not contain secrets, except as many as those of the base."""
    before, after = (sum(_has_secret(pair[side]) for pair in pairs) for side in (0, 1))
    return Guard("secrets", after <= before, f"{after} answers look like secrets, {before} without the adapter")


def _has_secret(edit: ScoredEdit) -> bool:
    return contains_secret(edit.text or "") and not contains_secret(edit.truth)


def _texts(pair: EditPair) -> tuple[tuple[str, str], tuple[str, str]]:
    """The answers of both sides, each with what may be in it: the text before the edit and after it."""
    first, second = pair
    known = f"{first.before}\0{first.truth}"
    return (first.text or "", known), (second.text or "", known)


def _describe_spread(pairs: Sequence[EditPair]) -> str:
    """The shares of answers that change only the lines that the edit changes."""
    shares = []
    for side in (0, 1):
        answered = [pair[side] for pair in pairs if pair[side].outcome is not Outcome.UNCHANGED]
        only = sum(edit.is_only_intended for edit in answered)
        shares.append(f"{100 * only / len(answered):.0f} % of {len(answered)}" if answered else "none of 0")
    return f"only the intended lines are changed in {shares[1]} answers, in {shares[0]} by the base"
