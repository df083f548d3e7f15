"""``starcoder-ls gateway serve``: run the gateway until a signal arrives."""

from __future__ import annotations

import sys
from pathlib import Path

from starcoder_ls.commands.support.log_file import configure_logging
from starcoder_ls.errors import SettingsError


def run(file: Path, metrics_port: int | None) -> int:
    """The exit code. Raises SettingsError."""
    configure_logging("info")
    try:
        from starcoder_ls.gateway.serve import serve
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        raise SettingsError("The gateway needs one more package: pip install prometheus-client") from error
    return serve(file, metrics_port, _print_address)


def _print_address(host: str, port: int) -> None:
    print(f"the gateway listens on {host}:{port}", file=sys.stderr, flush=True)
