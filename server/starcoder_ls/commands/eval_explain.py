"""``starcoder-ls eval explain``: explanations of held-out functions, scored against their docstrings."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from starcoder_ls import settings
from starcoder_ls.commands.eval_card import held_out_sources
from starcoder_ls.commands.support import actions, adapter_option
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.evaluation import explanation_scores
from starcoder_ls.generation import Engine
from starcoder_ls.learning.explanations import Pair, extract_pairs, first_sentence, split_identifier
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target


def run(
    overlay: dict[str, Any], settings_file: Path | None, adapter: str | None, functions: int, seed: int, examples: int
) -> int:
    """Print the scores as Markdown, with ``examples`` explanations. The exit code is 0.

    Raises ActionUnavailable, ModelError, SettingsError.
    """
    config = settings.load(overlay, file=settings_file)
    adapter = adapter_option.adapter_name(adapter, config)
    by_sentence = {pair.sentence: pair for source in held_out_sources() for pair in extract_pairs(source.text)}
    sample = random.Random(seed).sample(list(by_sentence.values()), min(functions, len(by_sentence)))
    with loaded_engine(config, shows_progress=False) as engine:
        route = actions.require_loaded(engine, actions.select_route(config, "explain", _target(sample[0]), adapter))
        explanations = [
            asyncio.run(
                _explain(engine, perform_action.prepare_action(config, engine, "explain", _target(pair), route))
            )
            for pair in track(sample, "explaining", console=stderr)
        ]
    truth = [pair.sentence for pair in sample]
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print("| explained by | BLEU-4, % | word F1, % (95 %) |\n|---|---|---|")
    for name, texts in (
        ("the adapter", explanations),
        ("the function's name", [split_identifier(p.name) for p in sample]),
    ):
        scores = explanation_scores.score_explanations(texts, truth)
        console.print(f"| {name} | {100 * scores.bleu:.1f} | {scores.f1} |")
    if examples:
        console.print("\n| function | explanation | docstring |\n|---|---|---|")
    for pair, text in list(zip(sample, explanations, strict=True))[:examples]:
        cells = (f"`{pair.name}`", text, pair.sentence)
        console.print("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return 0


def _target(pair: Pair) -> Target:
    return Target(pair.code, 0, len(pair.code), "python", "function.py", pair.name)


async def _explain(engine: Engine, prepared: perform_action.PreparedAction) -> str:
    """The first sentence of the text that an editor would show."""
    explanation = ""
    async with aclosing(perform_action.stream_answer(engine, prepared.prompt)) as stream:
        async for answer in stream:
            explanation = answer.text
    text = " ".join(explanation.split())
    return first_sentence(text) or text
