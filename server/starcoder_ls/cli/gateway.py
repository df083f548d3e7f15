"""The command line of ``starcoder-ls gateway``. The module ``commands/gateway_VERB.py`` is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

gateway = typer.Typer(
    help="Let many developers use replicas of a serving engine (docs/gateway.md).", no_args_is_help=True
)

_SettingsFile = Annotated[Path, typer.Argument(metavar="FILE", help="The gateway's settings (TOML).")]


@gateway.command("serve")
def gateway_serve(
    file: _SettingsFile,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve /metrics for Prometheus on this port of 127.0.0.1.")
    ] = None,
) -> None:
    """Run the gateway. SIGHUP reads replicas and users again."""
    from starcoder_ls.commands.gateway_serve import run

    raise typer.Exit(run(file, metrics_port))


@gateway.command("add-user")
def gateway_add_user(
    file: _SettingsFile,
    name: Annotated[str, typer.Argument(help="Letters, digits and . _ @ -")],
) -> None:
    """Add a user and print the token, which is not stored."""
    from starcoder_ls.commands.gateway_add_user import run

    raise typer.Exit(run(file, name))
