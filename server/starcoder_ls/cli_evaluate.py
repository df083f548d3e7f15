"""``starcoder-ls eval``: arguments in, a command out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli_options import AdapterOption, DeviceOption, DtypeOption, ModelOption, SettingsOption, overlay_of

evaluate = typer.Typer(help="Measure how good suggestions are.", no_args_is_help=True)


@evaluate.command("card")
def evaluate_card(
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    holes: Annotated[int, typer.Option(help="Holes of each kind.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Draws other holes.")] = 0,
    examples: Annotated[int, typer.Option(help="Answers to print, good and bad.", min=0)] = 0,
) -> None:
    """The score card: holes in the held-out packages, filled by the model and by two dumb completers."""
    from starcoder_ls.commands.evaluate import run

    raise typer.Exit(run(overlay_of(model, adapter, device, dtype, settings), settings, holes, seed, examples))


@evaluate.command("infilling")
def evaluate_infilling(
    problems: Annotated[Path, typer.Argument(help="HumanEval-Infilling problems, .jsonl or .jsonl.gz.", exists=True)],
    model: ModelOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    way: Annotated[
        list[str],
        typer.Option(
            help="spm, psm (all the model says, as published scores count), server (what an editor would show), gold, "
            "empty; repeat for more."
        ),
    ] = ["spm", "psm", "server"],  # noqa: B006 - typer reads it once
    is_allowed: Annotated[bool, typer.Option("--run-untrusted-code", help="Run what the model writes.")] = False,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """pass@1: the share of problems whose tests pass with the model's filling."""
    from starcoder_ls.commands.infilling import WAYS, run

    if unknown := set(way) - set(WAYS):
        raise typer.BadParameter(f"{min(unknown)} is none of {', '.join(WAYS)}")
    raise typer.Exit(run(overlay_of(model, None, device, dtype), settings, problems, way, is_allowed, is_json))


@evaluate.command("explain")
def evaluate_explain(
    adapter: AdapterOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    functions: Annotated[int, typer.Option(help="Functions to explain.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Draws other functions.")] = 0,
    examples: Annotated[int, typer.Option(help="Answers to print, good and bad.", min=0)] = 0,
) -> None:
    """BLEU-4 and word F1 of Explain on functions of the held-out packages, beside the function's name in words."""
    from starcoder_ls.commands.evaluate_explain import run

    overlay = overlay_of(model, adapter, device, dtype, settings)
    raise typer.Exit(run(overlay, settings, adapter, functions, seed, examples))
