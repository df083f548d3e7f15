"""``starcoder-ls train``: arguments in, a command out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

train = typer.Typer(help="Train models on source code.", no_args_is_help=True)


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


@train.command("explain")
def train_explain(
    corpus: Annotated[Path, typer.Argument(help="A folder made by `train corpus`.", exists=True, file_okay=False)],
    folder: Annotated[Path, typer.Argument(help="Where the adapter is written, in Astraios' format.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="The base: `bundled`, or a checkpoint folder.")
    ] = "bundled",
    pairs: Annotated[int, typer.Option(help="Most functions to learn from.", min=1)] = 40_000,
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    bottleneck: Annotated[int, typer.Option(help="Width of the adapter's side branch.", min=1)] = 256,
    most_tokens: Annotated[int, typer.Option(help="Longer functions are passed over.", min=16)] = 256,
) -> None:
    """Train an adapter that says what functions do, from their docstrings' first sentences."""
    from starcoder_ls.commands.train import explain

    plan = {"epochs": epochs, "learning_rate": rate, "bottleneck_size": bottleneck, "max_example_tokens": most_tokens}
    raise typer.Exit(explain(corpus, folder, model, pairs, plan))
