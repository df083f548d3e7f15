"""The command line of ``starcoder-ls train edits``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import ModelOption, SettingsOption, overlay_of
from starcoder_ls.cli.train_preferences import DeviceOption, DryRunOption, GateOption, NameOption, QuantizationOption

_Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH…", help="Git repositories, or folders and files in them, to learn from.")
]
_Method = Annotated[str, typer.Option(help="lora, ia3, parallel, prompt, ptuning, prefix, or full.")]
_Minutes = Annotated[float, typer.Option(min=0.0, help="Train for so long at most; 0: no limit.")]
_Epochs = Annotated[float, typer.Option(min=1.0, help="How often the edits are read.")]
_Since = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only commits since this day.")]
_Commits = Annotated[int, typer.Option(min=1, help="Read so many commits of each repository at most, the newest.")]
_Rank = Annotated[int, typer.Option(min=0, help="Rank of LoRA or size of the bottleneck; 0: 16 or 64.")]
_Rate = Annotated[float, typer.Option(min=0.0, help="Peak learning rate; 0: by method and width.")]
_Length = Annotated[int, typer.Option(min=0, help="Tokens of an edit at most; 0: 1,024, on a GPU 2,048.")]
_BatchTokens = Annotated[int, typer.Option(min=0, help="Tokens per step; 0: 1,024, on a GPU 8,192.")]
_Restart = Annotated[bool, typer.Option("--restart", help="Discard an interrupted run of this name.")]


def train_edits(
    paths: _Paths,
    name: NameOption,
    model: ModelOption = None,
    method: _Method = "lora",
    device: DeviceOption = "auto",
    quantization: QuantizationOption = "none",
    minutes: _Minutes = 0.0,
    epochs: _Epochs = 2.0,
    since: _Since = None,
    commits: _Commits = 5_000,
    rank: _Rank = 0,
    rate: _Rate = 0.0,
    length: _Length = 0,
    batch_tokens: _BatchTokens = 0,
    is_dry_run: DryRunOption = False,
    is_restarted: _Restart = False,
    has_gate: GateOption = True,
    settings: SettingsOption = None,
) -> None:
    """Train an adapter that edits code, on the commits of your git repositories. Nothing leaves this machine.

    An interrupted run resumes.
    """
    from starcoder_ls.commands.train_adapter import Request
    from starcoder_ls.commands.train_edits import run

    options = {
        "paths": paths, "method": method, "rank": rank, "epochs": epochs, "learning_rate": rate, "device": device,
        "quantization": quantization, "since_s": since and since.timestamp(), "row_tokens": length,
        "batch_tokens": batch_tokens, "max_commits": commits,
    }  # fmt: skip
    request = Request(name, options, minutes, is_dry_run, is_restarted)
    code = run(request, overlay_of(model, None, None, None, settings), settings)
    if has_gate and not is_dry_run:
        from starcoder_ls.commands.train_gate import run as run_gate

        code = run_gate(name, None, None, settings)
    raise typer.Exit(code)
