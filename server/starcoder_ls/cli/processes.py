"""The commands about resident processes: ``ps``, ``stop``, ``logs``, and the process itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_resident_commands(application: typer.Typer) -> None:
    application.command()(ps)
    application.command()(stop)
    application.command()(logs)
    application.command(hidden=True)(resident)


def ps(is_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False) -> None:
    """The processes that hold a model for your windows."""
    from starcoder_ls.commands.processes import ps

    raise typer.Exit(ps(is_json))


def stop() -> None:
    """End the processes that hold a model; a window that asks again starts a new one."""
    from starcoder_ls.commands.processes import stop

    raise typer.Exit(stop())


def logs(lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="The last ones.")] = 50) -> None:
    """The end of the servers' log."""
    from starcoder_ls.commands.processes import logs

    raise typer.Exit(logs(lines))


def resident(descriptor: int, path: Path) -> None:
    """What `serve` starts: the process behind a listening socket that it inherits."""
    from starcoder_ls.commands.resident import run

    raise typer.Exit(run(descriptor, path))
