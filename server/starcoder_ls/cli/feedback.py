"""The command line of ``starcoder-ls feedback``. The module ``commands/feedback_VERB.py`` is imported when it runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import JsonOption

feedback = typer.Typer(help="What is stored about suggestions on this machine.", no_args_is_help=True)


@feedback.command("show")
def feedback_show(
    number: Annotated[int, typer.Option("--number", "-n", min=0, help="Number of suggestions to list.")] = 20,
    has_text: Annotated[
        bool, typer.Option("--text", help="Also print the stored text: the suggestion, and what was written instead.")
    ] = False,
    is_json: JsonOption = False,
) -> None:
    """Print how much is stored, where, and the newest suggestions with their outcomes."""
    from starcoder_ls.commands.feedback_show import run

    raise typer.Exit(run(number, has_text, is_json))


@feedback.command("export")
def feedback_export(
    file: Annotated[Path, typer.Argument(help="The file to write, one JSON object a line. `-` is standard output.")],
    has_text: Annotated[
        bool, typer.Option("--text/--no-text", help="With the stored text (the default), or without it.")
    ] = True,
) -> None:
    """Write all that is stored to a file."""
    from starcoder_ls.commands.feedback_export import run

    raise typer.Exit(run(file, has_text))


@feedback.command("forget")
def feedback_forget(
    is_all: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    file: Annotated[Path | None, typer.Option(help="What is stored about suggestions in this file.")] = None,
    before: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="What is stored from before this day.")
    ] = None,
    is_text: Annotated[bool, typer.Option("--text", help="All text; the outcomes stay.")] = False,
) -> None:
    """Delete what is stored, or a part of it."""
    from starcoder_ls.commands.feedback_forget import run

    if [is_all, file is not None, before is not None, is_text].count(True) != 1:
        raise typer.BadParameter("choose one of --all, --file, --before and --text")
    raise typer.Exit(run(file, before, is_text))
