"""The command line of ``starcoder-ls ps``, ``stop``, ``logs`` and ``resident``, which concern the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starcoder_ls.cli.options import JsonOption


def add_daemon_commands(application: typer.Typer) -> None:
    application.command()(ps)
    application.command()(stop)
    application.command()(logs)
    application.command(hidden=True)(resident)


def ps(is_json: JsonOption = False) -> None:
    """List the daemons, the processes that run a model for your windows."""
    from starcoder_ls.commands.processes import ps

    raise typer.Exit(ps(is_json))


def stop() -> None:
    """Stop the daemons. A window starts a new one with its next request."""
    from starcoder_ls.commands.processes import stop

    raise typer.Exit(stop())


def logs(lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Number of lines.")] = 50) -> None:
    """Print the end of the daemons' log."""
    from starcoder_ls.commands.processes import logs

    raise typer.Exit(logs(lines))


def resident(descriptor: int, path: Path) -> None:
    """Run the daemon on an inherited listening socket. `serve` starts it."""
    from starcoder_ls.commands.resident import run

    raise typer.Exit(run(descriptor, path))
