"""The command line of ``starcoder-ls train preferences``, and the options that it shares with ``train adapter``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import ModelOption, SettingsOption, overlay_of

NameOption = Annotated[str, typer.Option("--name", help="Name of the adapter: letters, digits, `-` and `_`.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
QuantizationOption = Annotated[str, typer.Option(help="Of the frozen base: none, or nf4 (CUDA only).")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what the run would take, and do not start it.")]
GateOption = Annotated[
    bool, typer.Option("--gate/--no-gate", help="Measure the adapter at the end, as `train gate` does.")
]

_Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH…]", help="Your code, where the gate measures. Default: the files held out before."),
]
_Start = Annotated[
    str,
    typer.Option(help="LoRA adapter to start from: a folder, or none. Default: the version of this name that serves."),
]
_Loss = Annotated[
    str, typer.Option(help="dpo (pairs), kto (single suggestions), or auto: dpo if there are enough pairs.")
]
_Beta = Annotated[float, typer.Option(min=0.001, help="How strongly the model is held to what it was.")]
_Sft = Annotated[float, typer.Option(min=0.0, help="Weight of the plain loss of what you wrote beside DPO's.")]
_Rate = Annotated[float, typer.Option(min=0.0, help="Peak learning rate; 0: 1e-5, more for narrow models.")]
_Length = Annotated[int, typer.Option(min=64, help="Tokens of a prompt with its completion, at most.")]
_Epochs = Annotated[float, typer.Option(min=0.01, help="How often the preferences are read.")]
_Batch = Annotated[int, typer.Option(min=2, help="Pairs or suggestions in a step.")]
_Rank = Annotated[int, typer.Option(min=1, help="Rank of LoRA.")]
_Alpha = Annotated[int, typer.Option(min=1, help="Scale of LoRA, times the rank.")]
_Dropout = Annotated[float, typer.Option(min=0.0, max=0.9, help="Dropout of LoRA.")]
_MinChars = Annotated[int, typer.Option(min=1, help="Leave shorter texts out.")]
_MinMargin = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Leave pairs out whose texts differ by a smaller share.")
]


def train_preferences(
    name: NameOption,
    paths: _Paths = None,
    model: ModelOption = None,
    start: _Start = "",
    loss: _Loss = "auto",
    beta: _Beta = 0.1,
    sft: _Sft = 0.2,
    rate: _Rate = 0.0,
    length: _Length = 1024,
    epochs: _Epochs = 2.0,
    batch: _Batch = 8,
    rank: _Rank = 64,
    alpha: _Alpha = 32,
    dropout: _Dropout = 0.1,
    min_chars: _MinChars = 4,
    min_margin: _MinMargin = 0.15,
    device: DeviceOption = "auto",
    quantization: QuantizationOption = "none",
    is_dry_run: DryRunOption = False,
    has_gate: GateOption = True,
    settings: SettingsOption = None,
) -> None:
    """Train an adapter on what became of suggestions (`feedback.keep = "text"`). Nothing leaves this machine."""
    from starcoder_ls.commands.train_preferences import run

    config = {
        "beta": beta, "sft": sft, "learning_rate": rate, "rank": rank, "alpha": alpha, "dropout": dropout,
        "epochs": epochs, "batch": batch,
    }  # fmt: skip
    options = {
        "paths": paths or (), "start": start, "loss": loss, "length": length, "min_chars": min_chars,
        "min_margin": min_margin, "device": device, "quantization": quantization, "config": config,
    }  # fmt: skip
    code = run(name, options, overlay_of(model, None, None, None, settings), settings, is_dry_run, has_gate)
    if has_gate and not is_dry_run:
        from starcoder_ls.commands.train_gate import run as run_gate

        code = run_gate(name, None, None, settings)
    raise typer.Exit(code)
