"""The Jupyter server extension: its configuration and its route."""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join
from traitlets import List, Unicode
from traitlets.config import LoggingConfigurable

from starcoder_jupyterlab.websocket import CompletionWebSocket


class StarCoder(LoggingConfigurable):  # type: ignore[misc]
    """Completions of StarCoder in JupyterLab."""

    command = List(
        Unicode(),
        help="The program that serves completions, with its arguments: ['/path/to/starcoder-ls', 'serve']. "
        "Empty: starcoder-ls in the environment of the Jupyter server, on its PATH, or installed by pipx or uv.",
    ).tag(config=True)


def load(server_app: Any) -> None:
    """Add the route of the extension to a Jupyter server."""
    web_app = server_app.web_app
    route = url_path_join(web_app.settings["base_url"], "starcoder", "completions")
    web_app.add_handlers(".*$", [(route, CompletionWebSocket, {"configuration": StarCoder(parent=server_app)})])
