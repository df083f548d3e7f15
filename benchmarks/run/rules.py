"""The value of each rule for suggestions: holes in the held-out packages are completed with one rule disabled each.

    python benchmarks/run/rules.py [HOLES [SEED]]

The model completes each hole once, without rules; the rules are then applied to the same tokens, so that all rows of
the table are about the same answers. Prints Markdown: paired differences from all rules enabled, and the effect of
hiding suggestions below a confidence.
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
from starcoder_ls.commands.eval_card import held_out_sources
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

ALL_RULES: tuple[CompletionRule, ...] = get_args(CompletionRule)


MIN_CONFIDENCES = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass
class Answer:
    """What the model generated for one hole without rules: text and log probability of each chunk."""

    hole: Hole
    insertion_point: InsertionPoint
    texts: list[str]
    logprobs: list[float]
    finish_reason: FinishReason


async def generate_answer(engine: Engine, hole: Hole, options: settings.InlineCompletion) -> Answer:
    prompt = build_prompt(engine, Cursor(hole.text, hole.start, "python", hole.source.path, "bench"), options)
    texts, logprobs, finish_reason = [], [], FinishReason.END_OF_TEXT
    async with aclosing(engine.stream(replace(prompt.completion_request(options), stop=None))) as stream:
        async for chunk in stream:
            texts.append(chunk.text)
            logprobs.append(chunk.logprob)
            finish_reason = chunk.finish_reason or finish_reason
    return Answer(hole, prompt.insertion_point, texts, logprobs, finish_reason)


def apply_rules(
    answer: Answer, disabled: tuple[CompletionRule, ...], elapsed_ms: list[float] | None = None
) -> tuple[str, float]:
    """Return the suggestion without the ``disabled`` rules, and the geometric mean of its tokens' probabilities.

    The duration of each call of the stop rule is appended to ``elapsed_ms``.
    """
    insertion_point = replace(answer.insertion_point, disabled_rules=frozenset(disabled))
    stop_rule = stop_rules.build_stop_rule(insertion_point)
    text, finish_reason, used = "", answer.finish_reason, len(answer.texts)
    for number, new_text in enumerate(answer.texts, 1):
        text += new_text
        started_s = time.perf_counter()
        stop_chars = stop_rule(text)
        if elapsed_ms is not None:
            elapsed_ms.append((time.perf_counter() - started_s) * 1000)
        if stop_chars is not None:
            text, finish_reason, used = text[:stop_chars], FinishReason.STOP_RULE, number
            break
    confidence = math.exp(sum(answer.logprobs[:used]) / max(used, 1))
    return postprocess.apply_filters(text, insertion_point, finish_reason), confidence


def first_line(answer: Answer) -> str:
    """Return what a client without any rules would show: the first line that is not blank."""
    return next((line for line in "".join(answer.texts).split("\n") if line.strip()), "")


def table_row(name: str, answers: list[Answer], texts: list[str], baseline: list[str]) -> str:
    """Return a Markdown row of the differences of ``texts`` from ``baseline``, which are for the same holes."""
    match_differences, similarity_differences = [], []
    for answer, text, other in zip(answers, texts, baseline, strict=True):
        truth = answer.hole.middle
        match_differences.append(
            float(score.is_first_line_match(text, truth)) - score.is_first_line_match(other, truth)
        )
        similarity_differences.append(score.edit_similarity(text, truth) - score.edit_similarity(other, truth))
    changed = sum(text != other for text, other in zip(texts, baseline, strict=True))
    lost, won = (sum(sign * difference > 0 for difference in match_differences) for sign in (-1, 1))
    empty_percent = 100 * sum(not text for text in texts) / len(texts)
    mean = score.estimate_mean(similarity_differences)
    similarity = f"{100 * mean.value:+.2f} ({100 * mean.low:+.2f} to {100 * mean.high:+.2f})"
    return f"| {name} | {changed} | +{won} −{lost} | {similarity} | {empty_percent:.0f} |"


def confidence_table(answers: list[Answer]) -> list[str]:
    """Return a Markdown table of what remains if only suggestions above a confidence are shown."""
    suggestions = [(*apply_rules(answer, ()), answer.hole.middle) for answer in answers]
    lines = [
        "| minimum confidence | shown, % | first line exact of those shown, % | exact ones hidden, % |",
        "|---|---|---|---|",
    ]
    is_exact = [score.is_first_line_match(text, truth) for text, _, truth in suggestions]
    for minimum in MIN_CONFIDENCES:
        shown = [
            exact
            for (text, confidence, _), exact in zip(suggestions, is_exact, strict=True)
            if text and confidence >= minimum
        ]
        hidden_percent = 100 * (1 - sum(shown) / max(sum(is_exact), 1))
        shown_percent, exact_percent = 100 * len(shown) / len(suggestions), 100 * sum(shown) / max(len(shown), 1)
        lines.append(f"| {minimum} | {shown_percent:.0f} | {exact_percent:.1f} | {hidden_percent:.0f} |")
    return lines


def generate_answers(count: int, seed: int) -> list[Answer]:
    chosen = settings.load({})
    options = chosen.inline_completion.model_copy(update={"budget_ms": 60_000})
    answers: list[Answer] = []
    with loaded_engine(chosen, shows_progress=False) as engine, stderr.status("holes") as line:
        for kind, holes in score_card.draw_holes(held_out_sources(), count, seed).items():
            for number, hole in enumerate(holes):
                line.update(f"{kind} {number}")
                answers.append(asyncio.run(generate_answer(engine, hole, options)))
    return answers


def main(count: int = 150, seed: int = 0) -> None:
    answers = generate_answers(count, seed)
    elapsed_ms: list[float] = []
    baseline = [apply_rules(answer, (), elapsed_ms)[0] for answer in answers]
    truths = [answer.hole.middle for answer in answers]
    matches = [score.is_first_line_match(text, truth) for text, truth in zip(baseline, truths, strict=True)]
    similarities = [score.edit_similarity(text, truth) for text, truth in zip(baseline, truths, strict=True)]
    elapsed_ms.sort()
    print(f"{len(answers)} holes, seed {seed}; {', '.join(Kind)}\n")
    print(
        f"All rules enabled: first line exact {score.estimate_proportion(matches)} %, "
        f"edit similarity {score.estimate_mean(similarities)} %."
    )
    p99_ms = elapsed_ms[len(elapsed_ms) * 99 // 100]
    print(f"Stop rules: median {statistics.median(elapsed_ms):.3f} ms per token, 99 % below {p99_ms:.2f} ms.\n")
    print("| disabled | suggestions changed | first lines won, lost | edit similarity, points (95 %) | no answer, % |")
    print("|---|---|---|---|---|")
    print(table_row("none", answers, baseline, baseline))
    without_rules = [apply_rules(answer, ALL_RULES)[0] for answer in answers]
    print(table_row("all (64 tokens as generated)", answers, without_rules, baseline))
    print(table_row("all, cut after the first line", answers, [first_line(answer) for answer in answers], baseline))
    for rule in ALL_RULES:
        print(table_row(rule, answers, [apply_rules(answer, (rule,))[0] for answer in answers], baseline))
    print()
    print("\n".join(confidence_table(answers)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
