"""The command line of the verbs of ``starcoder-ls train`` that are about adapters for the user's own code."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli import train_edits, train_preferences
from starcoder_ls.cli.options import JsonOption, ModelOption, SettingsOption, overlay_of
from starcoder_ls.cli.train_preferences import DeviceOption, DryRunOption, GateOption, NameOption, QuantizationOption

NameArgument = Annotated[str, typer.Argument(help="Name of the adapter, as in `train adapter --name`.")]
VersionOption = Annotated[str | None, typer.Option("--version", help="A version of `train list`. Default: the newest.")]


def add_adapter_commands(train: typer.Typer) -> None:
    """Add the verbs to the group ``train``."""
    train.command("adapter")(train_adapter)
    train.command("edits")(train_edits.train_edits)
    train.command("preferences")(train_preferences.train_preferences)
    train.command("gate")(train_gate)
    train.command("promote")(train_promote)
    train.command("rollback")(train_rollback)
    train.command("list")(train_list)


def train_adapter(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files and folders to learn from.")],
    name: NameOption,
    model: ModelOption = None,
    method: Annotated[
        str, typer.Option(help="lora, ia3, parallel, prompt, ptuning, prefix, or full (a whole checkpoint).")
    ] = "lora",
    device: DeviceOption = "auto",
    quantization: QuantizationOption = "none",
    minutes: Annotated[float, typer.Option(min=0.0, help="Train for so long at most; 0: no limit.")] = 0.0,
    epochs: Annotated[float, typer.Option(min=0.01, help="How often the code is read.")] = 2.0,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only files that were committed since this day.")
    ] = None,
    replay: Annotated[
        list[Path] | None,
        typer.Option(help="A folder of general code, from which a quarter of the examples comes. Repeat for more."),
    ] = None,
    rank: Annotated[int, typer.Option(min=0, help="Rank of LoRA or size of the bottleneck; 0: 16 or 64.")] = 0,
    rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate; 0: by method and width.")] = 0.0,
    batch_tokens: Annotated[int, typer.Option(min=0, help="Tokens per step; 0: 1,024, on a GPU 8,192.")] = 0,
    has_ngrams: Annotated[
        bool, typer.Option("--ngrams/--no-ngrams", help="Train on the loss of the mixture with the document's n-grams.")
    ] = False,
    is_dry_run: DryRunOption = False,
    is_restarted: Annotated[bool, typer.Option("--restart", help="Discard an interrupted run of this name.")] = False,
    has_gate: GateOption = True,
    settings: SettingsOption = None,
) -> None:
    """Train an adapter on your own code. Nothing leaves this machine. An interrupted run resumes."""
    from starcoder_ls.commands.train_adapter import Request, run

    options = {
        "paths": paths, "method": method, "rank": rank, "epochs": epochs, "learning_rate": rate, "device": device,
        "quantization": quantization, "since_s": since and since.timestamp(), "batch_tokens": batch_tokens,
        "replay": replay or (), "has_ngrams": has_ngrams,
    }  # fmt: skip
    request = Request(name, options, minutes, is_dry_run, is_restarted)
    code = run(request, overlay_of(model, None, None, None, settings), settings)
    if has_gate and not is_dry_run:
        from starcoder_ls.commands.train_gate import run as run_gate

        code = run_gate(name, None, None, settings)
    raise typer.Exit(code)


def train_gate(
    name: NameArgument,
    version: VersionOption = None,
    foreign: Annotated[
        Path | None, typer.Option(help="A folder of other code, which must not suffer. Default: an installed package.")
    ] = None,
    is_restarted: Annotated[
        bool, typer.Option("--restart", help="Do not continue a gate that was interrupted: begin again.")
    ] = False,
    settings: SettingsOption = None,
) -> None:
    """Decide whether a trained adapter may serve: fill holes in held-out files with and without it.

    The exit code is 0 if it is significantly better and nothing got worse.
    """
    from starcoder_ls.commands.train_gate import run

    raise typer.Exit(run(name, version, foreign, settings, is_restarted))


def train_promote(
    name: NameArgument,
    version: VersionOption = None,
    is_forced: Annotated[bool, typer.Option("--force", help="Also if it has not passed the gate.")] = False,
    is_merged: Annotated[
        bool,
        typer.Option(
            "--merged", help="Merge it into the base, and make the result the model; only where that is exact."
        ),
    ] = False,
    watch_days: Annotated[
        float,
        typer.Option(
            "--watch", min=0.0, metavar="DAYS", help="Compare what becomes of suggestions in so many days and before."
        ),
    ] = 0.0,
    settings: SettingsOption = None,
) -> None:
    """Let a version of a trained adapter serve, also in servers that run."""
    from starcoder_ls.commands.train_promote import run

    raise typer.Exit(run(name, version, is_forced, settings, is_merged=is_merged, watch_days=watch_days))


def train_rollback(name: NameArgument, settings: SettingsOption = None) -> None:
    """Let the version serve that served before the current one; without one, none."""
    from starcoder_ls.commands.train_promote import run_rollback

    raise typer.Exit(run_rollback(name, settings))


def train_list(
    is_json: JsonOption = False,
) -> None:
    """List the adapters that were trained here, and which version of each serves."""
    from starcoder_ls.commands.train_list import run

    raise typer.Exit(run(is_json))
