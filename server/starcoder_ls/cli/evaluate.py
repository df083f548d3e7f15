"""The command line of ``starcoder-ls eval``. The module ``commands/eval_VERB.py`` is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import (
    AdapterOption,
    DeviceOption,
    DtypeOption,
    EngineOption,
    JsonOption,
    ModelOption,
    SettingsOption,
    UntrustedCodeOption,
    overlay_of,
)

evaluate = typer.Typer(help="Measure the quality of suggestions.", no_args_is_help=True)


@evaluate.command("holes")
def evaluate_holes(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files and folders to take holes from.")],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    engine: EngineOption = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting for this run, such as context.evidence=false. Repeat for more.",
        ),
    ] = None,
    holes: Annotated[int, typer.Option("--holes", "-n", help="Number of holes of each kind.", min=1)] = 50,
    kind: Annotated[
        list[str] | None, typer.Option(help="line, rest (of a line), block or span. Repeat for more. Default: all.")
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="Only this language, such as python. Repeat for more.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of holes.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write each hole with its scores to this file.")
    ] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report to this file.")] = None,
    has_texts: Annotated[
        bool,
        typer.Option("--texts/--no-texts", help="Include the code in JSON and report, or only the scores."),
    ] = True,
) -> None:
    """Remove stretches of your own files (holes), let the server complete them, report accuracy and speed."""
    from starcoder_ls.commands.eval_holes import parse_assignments, parse_kinds, run
    from starcoder_ls.commands.support.hole_selection import HoleSelection
    from starcoder_ls.commands.support.hole_server import ServerLaunch

    options = {
        "--model": model, "--adapter": adapter, "--device": device, "--dtype": dtype, "--settings": settings,
        "--engine": engine,
    }  # fmt: skip
    arguments = [part for option, value in options.items() if value is not None for part in (option, str(value))]
    overlay = overlay_of(model, adapter, device, dtype, settings, engine)
    launch = ServerLaunch(arguments, overlay, parse_assignments(assignments or ()), settings)
    selection = HoleSelection(paths, holes, seed, parse_kinds(kind or ()), language or (), has_texts)
    raise typer.Exit(run(selection, launch, json_file, html_file))


@evaluate.command("compare")
def evaluate_compare(
    first: Annotated[Path, typer.Argument(metavar="A.json", help="A file written by `eval holes --json`.")],
    second: Annotated[Path, typer.Argument(metavar="B.json", help="Another one, of the same holes.")],
    is_json: JsonOption = False,
) -> None:
    """Test whether the second run is significantly better than the first, at the same holes (removed code)."""
    from starcoder_ls.commands.eval_compare import run

    raise typer.Exit(run(first, second, is_json))


@evaluate.command("card")
def evaluate_card(
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    holes: Annotated[int, typer.Option(help="Number of holes of each kind.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of holes.")] = 0,
    examples: Annotated[int, typer.Option(help="Number of answers to print, good and bad ones.", min=0)] = 0,
) -> None:
    """Score the bundled model on packages it was not trained on, beside an empty answer and a copied line."""
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
    engine: EngineOption = None,
    way: Annotated[
        list[str],
        typer.Option(
            help="spm or psm (the model's whole text, as for published scores), server (what an editor would show), "
            "gold (the reference answer), empty. Repeat for more."
        ),
    ] = ["spm", "psm", "server"],  # noqa: B006 - typer reads it once
    is_running_allowed: UntrustedCodeOption = False,
    is_json: JsonOption = False,
) -> None:
    """Run published benchmarks: HumanEval-Infilling (pass@1), SantaCoder-FIM (exact match)."""
    from starcoder_ls.commands.eval_infilling import WAYS, run

    if unknown := set(way) - set(WAYS):
        raise typer.BadParameter(f"{min(unknown)} is not one of {', '.join(WAYS)}")
    overlay = overlay_of(model, None, device, dtype, engine=engine)
    raise typer.Exit(run(overlay, settings, problems, way, is_running_allowed, is_json))


@evaluate.command("edits")
def evaluate_edits(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Python files and folders of them.")],
    files: Annotated[int, typer.Option(help="Number of files to edit, chosen at random.", min=1)] = 40,
    changes: Annotated[int, typer.Option(help="Number of renames and of argument changes in each file.", min=1)] = 6,
    seed: Annotated[int, typer.Option(help="Seed of the random choices.")] = 0,
    is_json: JsonOption = False,
    history: Annotated[
        int, typer.Option(help="Also replay so many changes of the git history, with the model.", min=0)
    ] = 0,
    model: ModelOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    engine: EngineOption = None,
) -> None:
    """Replay renames, argument changes and typing in Python files, and count which next edits are offered.

    Without --history no model is needed. What a name refers to is decided by Python itself.
    """
    from starcoder_ls.commands.eval_edits import HistoryOptions, run

    options = HistoryOptions(history, overlay_of(model, None, device, dtype, engine=engine), settings)
    raise typer.Exit(run(paths, files, changes, seed, is_json, options))


@evaluate.command("fixes")
def evaluate_fixes(
    problems: Annotated[
        Path, typer.Argument(help="HumanEvalFix problems in Python, .jsonl or .jsonl.gz.", exists=True)
    ],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    way: Annotated[
        list[str], typer.Option(help="model, gold (the reference answer), buggy (the given code). Repeat for more.")
    ] = ["model"],  # noqa: B006 - typer reads it once
    is_running_allowed: UntrustedCodeOption = False,
    is_json: JsonOption = False,
) -> None:
    """Let the action fix repair functions with a bug (HumanEvalFix), and run their tests.

    The model sees the function, as in an editor, and not its tests.
    """
    from starcoder_ls.commands.eval_fixes import WAYS, run

    if unknown := set(way) - set(WAYS):
        raise typer.BadParameter(f"{min(unknown)} is not one of {', '.join(WAYS)}")
    overlay = overlay_of(model, adapter, device, dtype, settings)
    raise typer.Exit(run(overlay, settings, problems, way, is_running_allowed, is_json))


@evaluate.command("explain")
def evaluate_explain(
    adapter: AdapterOption = None,
    model: ModelOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    functions: Annotated[int, typer.Option(help="Number of functions to explain.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of functions.")] = 0,
    examples: Annotated[int, typer.Option(help="Number of answers to print, good and bad ones.", min=0)] = 0,
) -> None:
    """Score explanations of held-out functions by BLEU-4 and word F1, beside the words of the function's name.

    Held-out functions are those of packages that the model was not trained on.
    """
    from starcoder_ls.commands.eval_explain import run

    overlay = overlay_of(model, adapter, device, dtype, settings)
    raise typer.Exit(run(overlay, settings, adapter, functions, seed, examples))
