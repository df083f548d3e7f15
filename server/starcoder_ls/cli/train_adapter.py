"""The command line of the verbs of ``starcoder-ls train`` that are about adapters for the user's own code."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import ModelOption, SettingsOption, overlay_of

NameOption = Annotated[str, typer.Option("--name", help="Name of the adapter: letters, digits, `-` and `_`.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the adapter, as in `train adapter --name`.")]
VersionOption = Annotated[str | None, typer.Option("--version", help="A version of `train list`. Default: the newest.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
QuantizationOption = Annotated[str, typer.Option(help="Of the frozen base: none, or nf4 (CUDA only).")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what the run would take, and do not start it.")]
GateOption = Annotated[
    bool, typer.Option("--gate/--no-gate", help="Measure the adapter at the end, as `train gate` does.")
]


def add_adapter_commands(train: typer.Typer) -> None:
    """Add the verbs to the group ``train``."""
    train.command("adapter")(train_adapter)
    train.command("preferences")(train_preferences)
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
        typer.Option(help="A folder of general code, from which a tenth of the examples comes. Repeat for more."),
    ] = None,
    rank: Annotated[int, typer.Option(min=0, help="Rank of LoRA or size of the bottleneck; 0: 16 or 64.")] = 0,
    rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate; 0: by method and width.")] = 0.0,
    batch_tokens: Annotated[int, typer.Option(min=0, help="Tokens per step; 0: 1,024, on a GPU 8,192.")] = 0,
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
        "replay": replay or (),
    }  # fmt: skip
    request = Request(name, options, minutes, is_dry_run, is_restarted)
    code = run(request, overlay_of(model, None, None, None, settings), settings)
    if has_gate and not is_dry_run:
        from starcoder_ls.commands.train_gate import run as run_gate

        code = run_gate(name, None, None, settings)
    raise typer.Exit(code)


def train_preferences(
    name: NameOption,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH…]", help="Your code, in which the gate measures. Default: the files held out before."
        ),
    ] = None,
    model: ModelOption = None,
    start: Annotated[
        str,
        typer.Option(
            help="LoRA adapter to start from: a folder, or none. Default: the version of this name that serves."
        ),
    ] = "",
    loss: Annotated[
        str, typer.Option(help="dpo (pairs), kto (single suggestions), or auto: dpo if there are enough pairs.")
    ] = "auto",
    beta: Annotated[float, typer.Option(min=0.001, help="How strongly the model is held to what it was.")] = 0.1,
    sft: Annotated[
        float, typer.Option(min=0.0, help="Weight of the plain loss of what you wrote, beside DPO's; 0: none.")
    ] = 0.2,
    rate: Annotated[float, typer.Option(min=0.0, help="Peak learning rate; 0: 1e-5, more for narrow models.")] = 0.0,
    length: Annotated[int, typer.Option(min=64, help="Tokens of a prompt with its completion, at most.")] = 1024,
    epochs: Annotated[float, typer.Option(min=0.01, help="How often the preferences are read.")] = 2.0,
    batch: Annotated[int, typer.Option(min=2, help="Pairs or suggestions in a step.")] = 8,
    rank: Annotated[int, typer.Option(min=1, help="Rank of LoRA.")] = 64,
    alpha: Annotated[int, typer.Option(min=1, help="Scale of LoRA, times the rank.")] = 32,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Dropout of LoRA.")] = 0.1,
    min_chars: Annotated[int, typer.Option(min=1, help="Leave shorter texts out.")] = 4,
    min_margin: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave pairs out whose texts differ by a smaller share.")
    ] = 0.15,
    device: DeviceOption = "auto",
    quantization: QuantizationOption = "none",
    is_dry_run: DryRunOption = False,
    has_gate: GateOption = True,
    settings: SettingsOption = None,
) -> None:
    """Train an adapter on what became of suggestions (`feedback.keep = "text"`). Nothing leaves this machine."""
    from starcoder_ls.commands.train_preferences import run

    config = {
        "beta": beta, "sft": sft, "learning_rate": rate, "rank": rank, "alpha": alpha, "dropout": dropout, "epochs": epochs,
        "batch": batch,
    }  # fmt: skip
    options = {
        "paths": paths or (), "start": start, "loss": loss, "length": length, "min_chars": min_chars,
        "min_margin": min_margin, "device": device, "quantization": quantization, "config": config,
        "has_gate": has_gate,
    }  # fmt: skip
    code = run(name, options, overlay_of(model, None, None, None, settings), settings, is_dry_run)
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
    settings: SettingsOption = None,
) -> None:
    """Decide whether a trained adapter may serve: fill holes in held-out files with and without it.

    The exit code is 0 if it is significantly better and nothing got worse.
    """
    from starcoder_ls.commands.train_gate import run

    raise typer.Exit(run(name, version, foreign, settings))


def train_promote(
    name: NameArgument,
    version: VersionOption = None,
    is_forced: Annotated[bool, typer.Option("--force", help="Also if it has not passed the gate.")] = False,
    settings: SettingsOption = None,
) -> None:
    """Let a version of a trained adapter serve, also in servers that run."""
    from starcoder_ls.commands.train_promote import run

    raise typer.Exit(run(name, version, is_forced, settings))


def train_rollback(name: NameArgument, settings: SettingsOption = None) -> None:
    """Let the version serve that served before the current one; without one, none."""
    from starcoder_ls.commands.train_promote import run_rollback

    raise typer.Exit(run_rollback(name, settings))


def train_list(
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """List the adapters that were trained here, and which version of each serves."""
    from starcoder_ls.commands.train_list import run

    raise typer.Exit(run(is_json))
