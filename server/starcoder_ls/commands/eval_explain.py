"""``starcoder-ls eval explain``: explanations of held-out functions against their authors' own first sentences."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from starcoder_ls import settings
from starcoder_ls.commands.act import confirmed, expected
from starcoder_ls.commands.eval_card import held_out
from starcoder_ls.commands.support import adapter_option
from starcoder_ls.commands.support.engines import loaded, stderr
from starcoder_ls.evaluation import explanation_scores
from starcoder_ls.generation import Engine
from starcoder_ls.learning.explanations import Pair, extract_pairs, first_sentence, split_identifier
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target


def run(overlay: dict[str, Any], file: Path | None, adapter: str | None, count: int, seed: int, shown: int) -> int:
    """Print the scores as Markdown, and ``shown`` of the explanations."""
    chosen = settings.load(overlay, file=file)
    adapter = adapter_option.in_use(adapter, chosen)
    found = {pair.sentence: pair for source in held_out() for pair in extract_pairs(source.text)}
    asked = random.Random(seed).sample(list(found.values()), min(count, len(found)))
    with loaded(chosen, is_shown=False) as engine:
        who = confirmed(engine, expected(chosen, "explain", _target(asked[0]), adapter))
        said = [
            asyncio.run(
                _explained(engine, perform_action.prepare_action(chosen, engine, "explain", _target(pair), who))
            )
            for pair in track(asked, "explaining", console=stderr)
        ]
    truth = [pair.sentence for pair in asked]
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print("| said by | BLEU-4, % | word F1, % (95 %) |\n|---|---|---|")
    for way, texts in (("the adapter", said), ("the function's name", [split_identifier(pair.name) for pair in asked])):
        scores = explanation_scores.scores(texts, truth)
        console.print(f"| {way} | {100 * scores.bleu:.1f} | {scores.f1} |")
    if shown:
        console.print("\n| function | explained | by its author |\n|---|---|---|")
    for pair, text in list(zip(asked, said, strict=True))[:shown]:
        cells = (f"`{pair.name}`", text, pair.sentence)
        console.print("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return 0


def _target(pair: Pair) -> Target:
    return Target(pair.code, 0, len(pair.code), "python", "function.py", pair.name)


async def _explained(engine: Engine, prepared: perform_action.PreparedAction) -> str:
    """The first sentence of what an editor would show."""
    said = ""
    async with aclosing(perform_action.stream_answer(engine, prepared.prompt)) as stream:
        async for answer in stream:
            said = answer.text
    text = " ".join(said.split())
    return first_sentence(text) or text
