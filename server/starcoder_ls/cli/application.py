"""Arguments in, a command out.

Refuses to know what a command does: each lives in ``commands/`` and is imported when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer

from starcoder_ls import __version__
from starcoder_ls.cli.adapters import adapters
from starcoder_ls.cli.evaluate import evaluate
from starcoder_ls.cli.options import (
    AdapterOption,
    DeviceOption,
    DtypeOption,
    LanguageOption,
    ModelOption,
    SettingsOption,
    overlay_of,
)
from starcoder_ls.cli.processes import add_resident_commands
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
add_resident_commands(application)

_REGION = "FILE:FIRST-LAST"
_REGION_HELP = "1-based lines, or one line of a function; `-` as FILE reads standard input."


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
    is_shared: Annotated[
        bool, typer.Option("--share/--no-share", help="One process with the model for all windows, or one for each.")
    ] = True,
) -> None:
    """Run the language server; editors start this. All windows share one process that holds the model."""
    from starcoder_ls.commands.serve import run

    del is_shared  # `__main__` has taken what can be shared
    if stdio and tcp:
        raise typer.BadParameter("choose one of --stdio and --tcp")
    overlay = overlay_of(model, adapter, device, dtype, settings)
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

    raise typer.Exit(
        run(place, overlay_of(model, adapter, device, dtype, settings), settings, candidates, is_json, is_traced)
    )


@application.command(context_settings={"ignore_unknown_options": True})
def explain(
    place: Annotated[str, typer.Argument(metavar=_REGION, help=_REGION_HELP)],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    language: LanguageOption = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Explain some lines, or the function around one."""
    from starcoder_ls.commands.act import run

    overlay = overlay_of(model, adapter, device, dtype, settings)
    raise typer.Exit(run("explain", place, overlay, settings, adapter, language, is_json=is_json))


@application.command(context_settings={"ignore_unknown_options": True})
def act(
    action: Annotated[str, typer.Argument(help="document, fix, simplify, rewrite, test, or an action of your own.")],
    place: Annotated[str, typer.Argument(metavar=_REGION, help=_REGION_HELP)],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    language: LanguageOption = None,
    instruction: Annotated[str, typer.Option("--instruction", "-i", help="What to do, where the action asks.")] = "",
    problem: Annotated[list[str] | None, typer.Option(help="What is wrong with the code; repeat for more.")] = None,
    is_written: Annotated[
        bool, typer.Option("--write/--diff", help="Change the file, or print a unified diff (the default).")
    ] = False,
) -> None:
    """Change some lines, or the function around one, by an action."""
    from starcoder_ls.commands.act import run

    overlay = overlay_of(model, adapter, device, dtype, settings)
    said = (instruction, tuple(problem or ()))
    raise typer.Exit(run(action, place, overlay, settings, adapter, language, said, is_written))


@application.command()
def ask(
    question: Annotated[str, typer.Argument(help="Anything; about the file, where one is given.")],
    model: ModelOption = None,
    adapter: AdapterOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    settings: SettingsOption = None,
    file: Annotated[str | None, typer.Option(help="A file to read first; `-` is standard input.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Ask the model a question."""
    from starcoder_ls.commands.act import ask

    raise typer.Exit(
        ask(question, file, overlay_of(model, adapter, device, dtype, settings), settings, adapter, is_json)
    )


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

    raise typer.Exit(run(overlay_of(model, adapter, device, dtype, settings), settings))


@application.command()
def setup(
    model: Annotated[str | None, typer.Option("--model", "-m", help="Instead of a proposal: folder or Hub id.")] = None,
    quantization: Annotated[str | None, typer.Option(help="none, int8, nf4, ...; instead of the proposed.")] = None,
    adapter: Annotated[str | None, typer.Option(help="An adapter for actions; empty for none.")] = None,
    settings: SettingsOption = None,
    is_yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the first proposal.")] = False,
    is_fetched: Annotated[bool, typer.Option("--fetch/--no-fetch", help="Download what is not here yet.")] = True,
) -> None:
    """Choose a model that fits this machine, fetch it, and write the settings."""
    from starcoder_ls.commands.setup import Wishes, run

    raise typer.Exit(run(Wishes(model, quantization, adapter, is_yes, is_fetched), settings))


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

    raise typer.Exit(run(overlay_of(model, adapter, device, dtype, settings), settings))
