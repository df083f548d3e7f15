"""The command line of ``starcoder-ls train``. The module ``commands/train_VERB.py`` is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.train_adapter import add_adapter_commands

Minutes = Annotated[
    float, typer.Option(min=0.0, help="Train for so long instead; the learning rate has decayed by then. 0: no limit.")
]
BatchTokens = Annotated[
    int | None, typer.Option(help="Tokens per step; default: 4,096 on a CPU, what fits the memory on a GPU.")
]
Workers = Annotated[
    int | None,
    typer.Option(help="Number of processes that prepare training sequences; default: 1, with a GPU up to 12.", min=0),
]
PartSize = Annotated[
    float, typer.Option(help="Also write the model as an archive in parts of so many megabytes; 0: do not.", min=0.0)
]

train = typer.Typer(help="Train models on source code.", no_args_is_help=True)
add_adapter_commands(train)


@train.command("corpus")
def train_corpus(
    folder: Annotated[Path, typer.Argument(help="Where to write corpus.bin, corpus.json and the tokenizer.")],
    site_packages: Annotated[
        list[Path] | None, typer.Option(help="A folder of installed packages to read. Repeat for more.", exists=True)
    ] = None,
    vocabulary: Annotated[int, typer.Option(help="Size of the tokenizer's vocabulary.", min=300, max=65_000)] = 8192,
    package_mb: Annotated[int, typer.Option(help="Maximum megabytes of text from a package.", min=1)] = 8,
) -> None:
    """Collect permissively licensed Python code (standard library, installed packages) into a file of token ids."""
    from starcoder_ls.commands.train_corpus import run

    raise typer.Exit(run(folder, site_packages or [], vocabulary, package_mb * 1_000_000))


@train.command("pack")
def train_pack(
    corpus: Annotated[Path, typer.Argument(help="A folder written by `train corpus`.", exists=True, file_okay=False)],
    file: Annotated[Path, typer.Argument(help="The file to write, such as corpus.tar.xz.", dir_okay=False)],
    max_mb: Annotated[
        float, typer.Option(help="Maximum size; documents that do not fit are left out.", min=0.01)
    ] = 42.0,
) -> None:
    """Compress a corpus into one file, with the licences of its packages; `train base` reads it."""
    from starcoder_ls.commands.train_pack import run

    raise typer.Exit(run(corpus, file, int(max_mb * 1_000_000)))


@train.command("unpack")
def train_unpack(
    packed: Annotated[Path, typer.Argument(help="An archive, or a folder with its parts.", exists=True)],
    folder: Annotated[Path, typer.Argument(help="Where to write its files.", file_okay=False)],
) -> None:
    """Extract a corpus of `train pack`, or a model that `train base` has written in parts."""
    from starcoder_ls.commands.train_pack import run_unpack

    raise typer.Exit(run_unpack(packed, folder))


@train.command("base")
def train_base(
    corpus: Annotated[
        Path, typer.Argument(help="A folder written by `train corpus`, or a file by `train pack`.", exists=True)
    ],
    folder: Annotated[
        Path,
        typer.Argument(help="Where to write checkpoints, log and model. Training resumes from a checkpoint in it."),
    ],
    tokens: Annotated[int, typer.Option(help="Number of tokens to train on.")] = 100_000_000,
    minutes: Minutes = 0.0,
    layers: Annotated[int, typer.Option(min=1, help="Number of layers.")] = 6,
    width: Annotated[int, typer.Option(min=64, help="Hidden size, a multiple of 64, the size of a head.")] = 256,
    batch_tokens: BatchTokens = None,
    row_tokens: Annotated[
        int, typer.Option(help="Tokens in a training sequence, before the phase with sequences of full length.")
    ] = 512,
    decay_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Final share of the run, in which the learning rate decays.")
    ] = 0.4,
    full_length_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Final share of the run, with sequences of full length.")
    ] = 0.12,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Start from the weights of this checkpoint.pt of another run; the learning rate starts anew.",
            exists=True,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    is_compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Compile the loss with torch.compile.")
    ] = True,
    workers: Workers = None,
    part_mb: PartSize = 0.0,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Train a GPTBigCode model from scratch, in StarCoder's format. It can be interrupted and resumed."""
    from starcoder_ls.commands.train_base import run

    config = {
        "layers": layers, "width": width, "heads": width // 64, "total_tokens": tokens, "minutes": minutes,
        "batch_tokens": batch_tokens,
        "row_tokens": row_tokens, "decay_share": decay_share, "full_length_share": full_length_share, "seed": seed,
    }  # fmt: skip
    raise typer.Exit(run(corpus, folder, config, start, device, is_compiled, workers, int(part_mb * 1_000_000)))


@train.command("explain")
def train_explain(
    corpus: Annotated[Path, typer.Argument(help="A folder written by `train corpus`.", exists=True, file_okay=False)],
    folder: Annotated[Path, typer.Argument(help="Where to write the adapter, in Astraios' format.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="The base model: `bundled`, or a checkpoint folder.")
    ] = "bundled",
    pairs: Annotated[int, typer.Option(help="Maximum number of functions to train on.", min=1)] = 40_000,
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    bottleneck: Annotated[int, typer.Option(help="Size of the adapter's bottleneck.", min=1)] = 256,
    most_tokens: Annotated[int, typer.Option(help="Longer functions are skipped.", min=16)] = 256,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Type of the base's weights: auto, float32 or bfloat16.")] = "auto",
) -> None:
    """Train an adapter that describes functions, on the first sentences of docstrings. An interrupted run resumes."""
    from starcoder_ls.commands.train_explain import run

    config = {
        "epochs": epochs, "learning_rate": rate, "bottleneck_size": bottleneck, "max_example_tokens": most_tokens,
    }  # fmt: skip
    raise typer.Exit(run(corpus, folder, model, pairs, config, device, dtype))
