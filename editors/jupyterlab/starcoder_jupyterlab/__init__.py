"""StarCoder for JupyterLab: the entry points of the JupyterLab extension and of the Jupyter server extension."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_LAB_EXTENSION = "starcoder-jupyterlab"


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": _LAB_EXTENSION}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "starcoder_jupyterlab"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    from starcoder_jupyterlab.extension import load  # Jupyter imports this package also to list its extensions

    load(server_app)
