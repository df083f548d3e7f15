"""``starcoder-ls eval``: arguments in, a command out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import AdapterOption, DeviceOption, DtypeOption, ModelOption, SettingsOption, overlay_of

evaluate = typer.Typer(help="Measure how good suggestions are.", no_args_is_help=True)


@evaluate.command("holes")
def evaluate_holes(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files and folders to cut holes in.")],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    changed: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting for this run, such as context.evidence=false."),
    ] = None,
    holes: Annotated[int, typer.Option("--holes", "-n", help="Holes of each kind.", min=1)] = 50,
    kind: Annotated[
        list[str] | None, typer.Option(help="line, rest (of a line), block, span; repeat for more. Default: all.")
    ] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only these, such as python; repeat for more.")] = None,
    seed: Annotated[int, typer.Option(help="Draws other holes.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write each hole with its scores here.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report to look at here.")] = None,
    has_texts: Annotated[
        bool, typer.Option("--texts/--no-texts", help="Keep code in the JSON and the report, or scores alone.")
    ] = True,
) -> None:
    """Cut holes in your own files, have the server fill them, and say how often it was right and how fast."""
    from starcoder_ls.commands.eval_holes import Asked, Served, kinds_of, overrides, run

    given = {"--model": model, "--adapter": adapter, "--device": device, "--dtype": dtype, "--settings": settings}
    arguments = [part for option, value in given.items() if value is not None for part in (option, str(value))]
    served = Served(arguments, overlay_of(model, adapter, device, dtype, settings), overrides(changed or ()), settings)
    asked = Asked(paths, holes, seed, kinds_of(kind or ()), language or (), has_texts)
    raise typer.Exit(run(asked, served, json_file, html_file))


@evaluate.command("compare")
def evaluate_compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="A run that `eval holes --json` wrote.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="Another, over the same holes.")],
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say whether the second run is better than the first by more than chance, hole by hole."""
    from starcoder_ls.commands.eval_compare import run

    raise typer.Exit(run(first, second, is_json))


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
    from starcoder_ls.commands.eval_card import run

    raise typer.Exit(run(overlay_of(model, adapter, device, dtype, settings), settings, holes, seed, examples))


@evaluate.command("infilling")
def evaluate_infilling(
    problems: Annotated[
        Path, typer.Argument(help="HumanEval-Infilling or SantaCoder-FIM problems, .jsonl or .jsonl.gz.", exists=True)
    ],
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
    """Published benchmarks: HumanEval-Infilling by pass@1, SantaCoder-FIM by exact match under both conventions."""
    from starcoder_ls.commands.eval_infilling import WAYS, run

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
    from starcoder_ls.commands.eval_explain import run

    overlay = overlay_of(model, adapter, device, dtype, settings)
    raise typer.Exit(run(overlay, settings, adapter, functions, seed, examples))
