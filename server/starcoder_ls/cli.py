"""Arguments in, a command out.

Refuses to know what a command does: each lives in ``commands/`` and is imported when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from starcoder_ls import __version__

application = typer.Typer(
    name="starcoder-ls",
    help="Code completion by a StarCoder model on your own machine, for every editor that speaks LSP.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
train = typer.Typer(help="Train models on source code.", no_args_is_help=True)
application.add_typer(train, name="train")
evaluate = typer.Typer(help="Measure how good suggestions are.", no_args_is_help=True)
application.add_typer(evaluate, name="eval")

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="`bundled`, a checkpoint folder, or a Hub id such as bigcode/starcoderbase-1b."),
]
AdapterOption = Annotated[str | None, typer.Option(help="Folder or Hub id of a PEFT adapter for that model.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cuda, mps or cpu.")]
DtypeOption = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="A settings file instead of the user's own (TOML).", show_default=False),
]


def _overlay(model: str | None, adapter: str | None, device: str | None, dtype: str | None) -> dict[str, Any]:
    given = {"name": model, "adapter": adapter, "device": device, "dtype": dtype}
    return {"model": {key: value for key, value in given.items() if value is not None}}


def _version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"starcoder-ls {__version__}")
        raise typer.Exit


@application.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Code completion by a StarCoder model on your own machine, for every editor that speaks LSP."""


@application.command()
def serve(
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    tcp: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT", help="Listen on loopback instead of speaking over standard input and output."
        ),
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Speak over standard input and output (the default).")] = False,
    log_level: Annotated[str | None, typer.Option(help="error, warning, info or debug.")] = None,
) -> None:
    """Run the language server; editors start this."""
    from starcoder_ls.commands.serve import run

    if stdio and tcp:
        raise typer.BadParameter("choose one of --stdio and --tcp")
    overlay = _overlay(model, adapter, device, dtype)
    if log_level:
        overlay["log"] = {"level": log_level}
    raise typer.Exit(run(overlay, settings, tcp))


@application.command(context_settings={"ignore_unknown_options": True})  # `-:3:1` is a place, not an option
def complete(
    place: Annotated[str, typer.Argument(metavar="FILE:LINE:COL", help="1-based; `-` as FILE reads standard input.")],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    candidates: Annotated[int, typer.Option("--candidates", "-n", min=1, max=8, help="Different suggestions.")] = 1,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    is_traced: Annotated[
        bool, typer.Option("--trace", help="Show the parts of the prompt, on standard error.")
    ] = False,
) -> None:
    """Complete at one place of one file."""
    from starcoder_ls.commands.complete import run

    raise typer.Exit(run(place, _overlay(model, adapter, device, dtype), settings, candidates, is_json, is_traced))


@application.command()
def doctor(
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
) -> None:
    """Check device, model and adapter with one timed completion; exit code 0 means healthy."""
    from starcoder_ls.commands.doctor import run

    raise typer.Exit(run(_overlay(model, adapter, device, dtype), settings))


@application.command()
def stats(is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False) -> None:
    """What your servers have answered: from where, how fast, at the cost of how many tokens."""
    from starcoder_ls.commands.stats import run

    raise typer.Exit(run(is_json))


@application.command()
def demo(
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
) -> None:
    """Complete at cursors in real files that the bundled model was not trained on."""
    from starcoder_ls.commands.demo import run

    raise typer.Exit(run(_overlay(model, adapter, device, dtype), settings))


@train.command("corpus")
def train_corpus(
    folder: Annotated[Path, typer.Argument(help="Where corpus.bin, corpus.json and the tokenizer are written.")],
    site_packages: Annotated[
        list[Path] | None, typer.Option(help="A folder of installed packages to read; repeat for more.", exists=True)
    ] = None,
    vocabulary: Annotated[int, typer.Option(help="Entries of the tokenizer.", min=300, max=65_000)] = 8192,
    package_mb: Annotated[int, typer.Option(help="Most megabytes of text from one package.", min=1)] = 8,
) -> None:
    """Collect freely licensed Python (standard library and installed packages) into one file of token ids."""
    from starcoder_ls.commands.train import corpus

    raise typer.Exit(corpus(folder, site_packages or [], vocabulary, package_mb * 1_000_000))


@train.command("base")
def train_base(
    corpus: Annotated[Path, typer.Argument(help="A folder made by `train corpus`.", exists=True, file_okay=False)],
    folder: Annotated[Path, typer.Argument(help="Checkpoints, log and the finished model; resumes what it finds.")],
    tokens: Annotated[int, typer.Option(help="Tokens to train on in all.")] = 100_000_000,
    layers: Annotated[int, typer.Option(min=1)] = 6,
    width: Annotated[int, typer.Option(min=64, help="A multiple of 64, the size of a head.")] = 256,
    batch_tokens: Annotated[int, typer.Option(help="Tokens per step.")] = 4096,
    row_tokens: Annotated[int, typer.Option(help="Length of a training row before the last phase.")] = 512,
    decay_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Last share of the run, with falling rates.")
    ] = 0.4,
    full_length_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Last share of the run, with rows of all positions.")
    ] = 0.12,
    start: Annotated[
        Path | None,
        typer.Option(help="Continue from this checkpoint.pt of another folder, with this run's schedule.", exists=True),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    is_compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="torch.compile the loss.")] = True,
    workers: Annotated[int, typer.Option(help="Processes that prepare rows.", min=0)] = 1,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Train a GPTBigCode from nothing in StarCoder's format; stop and start it at will."""
    from starcoder_ls.commands.train import base

    plan = {
        "layers": layers, "width": width, "heads": width // 64, "total_tokens": tokens, "batch_tokens": batch_tokens,
        "row_tokens": row_tokens, "decay_share": decay_share, "full_length_share": full_length_share, "seed": seed,
    }  # fmt: skip
    raise typer.Exit(base(corpus, folder, plan, start, device, is_compiled, workers))


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

    raise typer.Exit(run(_overlay(model, adapter, device, dtype), settings, holes, seed, examples))


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
    raise typer.Exit(run(_overlay(model, None, device, dtype), settings, problems, way, is_allowed, is_json))
