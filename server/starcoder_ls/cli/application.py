"""The command line interface: it parses arguments and runs ``commands/VERB.py``.

A command's module is imported when it runs. ``ps``, ``stop`` and ``logs`` are in ``processes.py``, ``explain`` is in
``act.py``; the groups ``adapters``, ``eval`` and ``train`` have one module per verb, such as ``eval_holes.py``.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from starcoder_ls import __version__
from starcoder_ls.cli.adapters import adapters
from starcoder_ls.cli.editor import editor
from starcoder_ls.cli.evaluate import evaluate
from starcoder_ls.cli.feedback import feedback
from starcoder_ls.cli.gateway import gateway
from starcoder_ls.cli.options import (
    AdapterOption,
    DeviceOption,
    DtypeOption,
    EngineOption,
    JsonOption,
    LanguageOption,
    ModelOption,
    PositionCommand,
    SettingsOption,
    overlay_of,
)
from starcoder_ls.cli.processes import add_daemon_commands
from starcoder_ls.cli.train import train

application = typer.Typer(
    name="starcoder-ls",
    help="Code completion by a StarCoder model on your own machine, for every editor that speaks LSP.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
application.add_typer(train, name="train")
application.add_typer(evaluate, name="eval")
application.add_typer(adapters, name="adapters")
application.add_typer(editor, name="editor")
application.add_typer(feedback, name="feedback")
application.add_typer(gateway, name="gateway")
add_daemon_commands(application)

_REGION = "FILE:FIRST-LAST"
_REGION_HELP = "Lines from 1, or a single line of a function. FILE `-` is standard input."


def _print_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"starcoder-ls {__version__}")
        raise typer.Exit


@application.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
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
    engine: EngineOption = None,
    tcp: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Listen on a loopback port, for clients with the token that is printed, not on standard input.",
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Answer /v1/completions and /infill over HTTP on a loopback port, for programs without LSP.",
        ),
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Use standard input and output (the default).")] = False,
    log_level: Annotated[str | None, typer.Option(help="error, warning, info or debug.")] = None,
    is_shared: Annotated[
        bool,
        typer.Option(
            "--share/--no-share",
            help="Share one process with the model between all windows (the default), or run one per window.",
        ),
    ] = True,
) -> None:
    """Run the language server, which editors start. Windows share one process with the model, the daemon."""
    from starcoder_ls.commands.serve import run, run_http

    del is_shared  # `__main__` handles shared servers before this is imported
    if sum(map(bool, (stdio, tcp, http))) > 1:
        raise typer.BadParameter("--stdio, --tcp and --http exclude each other; choose one")

    def read_options() -> dict[str, Any]:
        overlay = overlay_of(model, adapter, device, dtype, settings, engine)
        return overlay | {"log": {"level": log_level}} if log_level else overlay

    raise typer.Exit(run(read_options, settings, tcp) if http is None else run_http(read_options, settings, http))


@application.command(cls=PositionCommand, context_settings={"ignore_unknown_options": True})  # `-:3:1` is no option
def complete(
    position: Annotated[
        str,
        typer.Argument(
            metavar="FILE:LINE:COL",
            help="Line and column from 1. FILE `-` is standard input. In a notebook, FILE:CELL:LINE:COL.",
        ),
    ],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    engine: EngineOption = None,
    candidates: Annotated[
        int, typer.Option("--candidates", "-n", min=1, max=8, help="Number of different suggestions.")
    ] = 1,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    shows_prompt: Annotated[bool, typer.Option("--trace", help="Also print the prompt, to standard error.")] = False,
) -> None:
    """Complete at a position of a file, and print the suggestions and where the time went."""
    from starcoder_ls.commands.complete import run

    overlay = overlay_of(model, adapter, device, dtype, settings, engine)
    raise typer.Exit(run(position, overlay, settings, candidates, is_json, shows_prompt))


@application.command(cls=PositionCommand, context_settings={"ignore_unknown_options": True})
def explain(
    region: Annotated[str, typer.Argument(metavar=_REGION, help=_REGION_HELP)],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    language: LanguageOption = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Explain lines of a file, or the function around a line."""
    from starcoder_ls.commands.act import run

    overlay = overlay_of(model, adapter, device, dtype, settings)
    raise typer.Exit(run("explain", region, overlay, settings, adapter, language, is_json=is_json))


@application.command(cls=PositionCommand, context_settings={"ignore_unknown_options": True})
def act(
    action: Annotated[str, typer.Argument(help="document, fix, simplify, rewrite, test, or an action of your own.")],
    region: Annotated[str, typer.Argument(metavar=_REGION, help=_REGION_HELP)],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    language: LanguageOption = None,
    instruction: Annotated[str, typer.Option("--instruction", "-i", help="What to do, for actions that need it.")] = "",
    problem: Annotated[
        list[str] | None, typer.Option(help="Message of a problem in the code (diagnostic). Repeat for more.")
    ] = None,
    is_written: Annotated[
        bool, typer.Option("--write/--diff", help="Change the file, or print a unified diff (the default).")
    ] = False,
) -> None:
    """Change lines of a file, or the function around a line, with an action."""
    from starcoder_ls.commands.act import ActionInput, run

    overlay = overlay_of(model, adapter, device, dtype, settings)
    action_input = ActionInput(instruction, tuple(problem or ()))
    raise typer.Exit(run(action, region, overlay, settings, adapter, language, action_input, is_written))


@application.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question. `--file` names a file that it is about.")],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    file: Annotated[str | None, typer.Option(help="A file that the question is about. `-` is standard input.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Ask the model a question."""
    from starcoder_ls.commands.ask import run

    raise typer.Exit(
        run(question, file, overlay_of(model, adapter, device, dtype, settings), settings, adapter, is_json)
    )


@application.command()
def doctor(
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    engine: EngineOption = None,
) -> None:
    """Check device, model and adapter with a timed completion. The exit code is 0 if the completion succeeds."""
    from starcoder_ls.commands.doctor import run

    raise typer.Exit(run(overlay_of(model, adapter, device, dtype, settings, engine), settings))


@application.command()
def setup(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A folder or Hub id instead of a proposed model.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="none, int8, nf4, ... instead of the proposed one.")] = None,
    adapter: Annotated[str | None, typer.Option(help="The adapter for actions; empty for none.")] = None,
    settings: SettingsOption = None,
    accepts_all: Annotated[
        bool, typer.Option("--yes", "-y", help="Agree to the download and to writing the settings; needed in scripts.")
    ] = False,
    may_download: Annotated[
        bool, typer.Option("--fetch/--no-fetch", help="Download files that are not on this machine yet.")
    ] = True,
    is_list: Annotated[bool, typer.Option("--list", help="Only print the list of models.")] = False,
    is_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Only print the list, as one JSON object; with --model and --yes, progress and result, one per line.",
        ),
    ] = False,
) -> None:
    """Choose a model that fits this machine, download it, and write the settings."""
    from starcoder_ls.commands.setup import SetupOptions, run

    options = SetupOptions(model, quantization, adapter, accepts_all, may_download, is_list, is_json)
    raise typer.Exit(run(options, settings))


@application.command()
def stats(is_json: JsonOption = False) -> None:
    """Print statistics of your daemons: sources of answers, latencies, tokens, outcomes of suggestions."""
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

    raise typer.Exit(run(overlay_of(model, adapter, device, dtype, settings), settings))
