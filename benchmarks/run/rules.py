"""What each rule for suggestions is worth: holes in the held-out packages, each rule switched off in turn.

    python benchmarks/run/rules.py [HOLES [SEED]]

Each hole is answered once without any rule; the rules then read the same tokens again, so that all rows are about the
same answers. Prints Markdown: paired differences to all rules on, and what a confidence gate would cost and save.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import get_args

from starcoder_ls import settings
from starcoder_ls.commands.eval_card import held_out
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import postprocess, stop_rules
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.evaluation import score, score_card
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine, FinishReason
from starcoder_ls.rules import CompletionRule

ALL: tuple[CompletionRule, ...] = get_args(CompletionRule)


@dataclass
class Answer:
    hole: Hole
    gap: InsertionPoint
    pieces: list[str]
    logprobs: list[float]
    finish_reason: FinishReason


async def answered(engine: Engine, hole: Hole, options: settings.InlineCompletion) -> Answer:
    asked = build_prompt(engine, Cursor(hole.text, hole.start, "python", hole.source.path, "bench"), options)
    pieces, logprobs, finish_reason = [], [], FinishReason.END_OF_TEXT
    async with aclosing(engine.stream(replace(asked.completion_request(options), stop=None))) as stream:
        async for chunk in stream:
            pieces.append(chunk.text)
            logprobs.append(chunk.logprob)
            finish_reason = chunk.finish_reason or finish_reason
    return Answer(hole, asked.insertion_point, pieces, logprobs, finish_reason)


def shown(answer: Answer, off: tuple[CompletionRule, ...], spent_ms: list[float] | None = None) -> tuple[str, float]:
    """The suggestion with some rules off, and the geometric mean of its tokens' probabilities."""
    gap = replace(answer.gap, disabled_rules=frozenset(off))
    rule, text, finish_reason, used = stop_rules.build_stop_rule(gap), "", answer.finish_reason, len(answer.pieces)
    for number, piece in enumerate(answer.pieces, 1):
        text += piece
        began_s = time.perf_counter()
        kept = rule(text)
        if spent_ms is not None:
            spent_ms.append((time.perf_counter() - began_s) * 1000)
        if kept is not None:
            text, finish_reason, used = text[:kept], FinishReason.STOP_RULE, number
            break
    confidence = math.exp(sum(answer.logprobs[:used]) / max(used, 1))
    return postprocess.apply_filters(text, gap, finish_reason), confidence


def first_line_only(answer: Answer) -> str:
    """What a client without any rule of ours would show: the first line that says something."""
    return next((line for line in "".join(answer.pieces).split("\n") if line.strip()), "")


def row(name: str, answers: list[Answer], texts: list[str], whole: list[str]) -> str:
    """Differences to ``whole`` of the same holes."""
    matches, alike = [], []
    for answer, text, other in zip(answers, texts, whole, strict=True):
        truth = answer.hole.middle
        matches.append(float(score.is_first_line_match(text, truth)) - score.is_first_line_match(other, truth))
        alike.append(score.edit_similarity(text, truth) - score.edit_similarity(other, truth))
    changed = sum(text != other for text, other in zip(texts, whole, strict=True))
    lost, won = sum(one < 0 for one in matches), sum(one > 0 for one in matches)
    silent = 100 * sum(not text for text in texts) / len(texts)
    mean = score.estimate_mean(alike)
    cells = (
        name,
        changed,
        f"+{won} −{lost}",
        f"{100 * mean.value:+.2f} ({100 * mean.low:+.2f} to {100 * mean.high:+.2f})",
    )
    return "| " + " | ".join(str(cell) for cell in (*cells, f"{silent:.0f}")) + " |"


def gates(answers: list[Answer]) -> list[str]:
    """What is left where only suggestions above a confidence are shown."""
    rated = [(*shown(answer, ()), answer.hole.middle) for answer in answers]
    lines = [
        "| least confidence | shown, % | first line exact of those shown, % | exact ones hidden, % |",
        "|---|---|---|---|",
    ]
    exact = [score.is_first_line_match(text, truth) for text, _, truth in rated]
    for least in (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6):
        kept = [is_exact for (text, sure, _), is_exact in zip(rated, exact, strict=True) if text and sure >= least]
        hidden = 1 - sum(kept) / max(sum(exact), 1)
        share, right = 100 * len(kept) / len(rated), 100 * sum(kept) / max(len(kept), 1)
        lines.append(f"| {least} | {share:.0f} | {right:.1f} | {100 * hidden:.0f} |")
    return lines


def main(count: int = 150, seed: int = 0) -> None:
    chosen = settings.load({})
    options = chosen.inline_completion.model_copy(update={"budget_ms": 60_000})
    cut = score_card.draw_holes(held_out(), count, seed)
    answers: list[Answer] = []
    with loaded_engine(chosen, shows_progress=False) as engine, stderr.status("holes") as line:
        for kind, holes in cut.items():
            for number, hole in enumerate(holes):
                line.update(f"{kind} {number}")
                answers.append(asyncio.run(answered(engine, hole, options)))
    spent_ms: list[float] = []
    whole = [shown(answer, (), spent_ms)[0] for answer in answers]
    print(f"{len(answers)} holes, seed {seed}; {', '.join(Kind)}\n")
    matched = score.estimate_proportion(
        [score.is_first_line_match(t, a.hole.middle) for t, a in zip(whole, answers, strict=True)]
    )
    alike = score.estimate_mean([score.edit_similarity(t, a.hole.middle) for t, a in zip(whole, answers, strict=True)])
    print(f"All rules on: first line exact {matched} %, edit similarity {alike} %.")
    steps = sorted(spent_ms)
    most = steps[len(steps) * 99 // 100]
    print(f"Stop rules: median {statistics.median(steps):.3f} ms a token, 99 % under {most:.2f} ms.\n")
    print(
        "| off | suggestions changed | first lines won, lost | edit similarity, points (95 %, paired) | no answer, % |"
    )
    print("|---|---|---|---|---|")
    print(row("nothing", answers, whole, whole))
    print(row("everything (64 tokens as they come)", answers, [shown(answer, ALL)[0] for answer in answers], whole))
    print(row("everything, cut after the first line", answers, [first_line_only(answer) for answer in answers], whole))
    for name in ALL:
        print(row(name, answers, [shown(answer, (name,))[0] for answer in answers], whole))
    print()
    print("\n".join(gates(answers)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
