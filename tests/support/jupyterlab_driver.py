"""Drives JupyterLab in a headless browser with the built extension; see `make test-editors`.

`JUPYTERLAB` names the program jupyter-lab of an environment with the extension, `CHROMIUM` the browser.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from browser import running_browser
from vscode import wait

EXTENSION = Path(__file__).parents[2] / "editors" / "jupyterlab"
GHOST = ".jp-GhostText:not([class*=Spacer])"
STATUS = "#starcoder-status"
TOKEN = "token-of-the-tests"
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "completer-extension/manager": {"autoCompletion": False},
}
_START_ATTEMPTS = 240


class JupyterLab:
    """A JupyterLab with its own settings whose files are in ``folder``, and the browser that opens its notebooks."""

    def __init__(self, program: str, folder: Path, browser: Any) -> None:
        self._program, self._browser, self._base = program, browser, folder
        self.folder = folder / "files"
        self.folder.mkdir(exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self, command: Sequence[str]) -> None:
        """Start the Jupyter server, again if it runs, with ``command`` as the language server."""
        self.close()
        config = self._base / "config"
        config.mkdir(exist_ok=True)
        (config / "jupyter_server_config.json").write_text(json.dumps({"StarCoder": {"command": list(command)}}))
        self.write_settings({})
        environment = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTERLAB_SETTINGS_DIR": str(self._base / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self._base / "workspaces"),
            "IPYTHONDIR": str(self._base / "ipython"),
        }
        arguments = [f"--ServerApp.port={self.port}", f"--IdentityProvider.token={TOKEN}", "--no-browser"]
        root = [f"--ServerApp.root_dir={self.folder}", "--allow-root"]
        with (self._base / "jupyter.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["nice", self._program, *arguments, *root], stdout=log, stderr=log, env=environment
            )
        for _ in range(_START_ATTEMPTS):
            with contextlib.suppress(OSError), urllib.request.urlopen(self.url("api/status")):
                return
            assert self._process.poll() is None, (self._base / "jupyter.log").read_text()
            time.sleep(0.5)
        raise AssertionError((self._base / "jupyter.log").read_text())

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={TOKEN}"

    def write_settings(self, provider: dict[str, Any], others: dict[str, Any] | None = None) -> None:
        """The user's settings; ``provider`` are those of StarCoder among the inline completion providers."""
        inline = {"completer-extension/inline-completer": {"providers": {"starcoder": provider}}}
        for name, values in {**SETTINGS, **inline, **(others or {})}.items():
            file = self._base / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))

    def open(self, name: str, *sources: str) -> Notebook:
        """A page with a new notebook of these code cells; with a file if ``name`` is no notebook."""
        path = self.folder / name
        if name.endswith(".ipynb"):
            cells: list[dict[str, Any]] = [
                {"cell_type": "code", "id": f"cell{index}", "metadata": {}, "source": source, "outputs": [],
                 "execution_count": None}
                for index, source in enumerate(sources)
            ]  # fmt: skip
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
        else:
            path.write_text("".join(sources))
        page = self._browser.new_page(viewport={"width": 1200, "height": 700})
        page.set_default_timeout(120_000)
        page.goto(f"{self.url(f'lab/tree/{name}')}&reset", wait_until="domcontentloaded", timeout=180_000)
        page.wait_for_selector(".cm-content", timeout=180_000)
        return Notebook(page, path)

    def servers(self) -> list[psutil.Process]:
        """The language servers of all pages."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [
            child for child in children if "starcoder_ls" in child.cmdline() or "serve_fake" in str(child.cmdline())
        ]

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None


class Notebook:
    """A page with a notebook or a file."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self._path = page, path

    def status(self) -> str:
        item = self.page.query_selector(STATUS)
        return item.inner_text().strip() if item else ""

    def wait_for_status(self, part: str, seconds: float = 180.0) -> None:
        wait(lambda: part in self.status(), f"{part!r} in the status bar", seconds, self.status)

    def notifications(self) -> list[str]:
        """The texts of the notifications on the screen."""
        found = self.page.eval_on_selector_all(".jp-toast-message", "all => all.map(each => each.textContent)")
        return [str(text) for text in found]

    def type_in_cell(self, index: int, text: str, delay_ms: int = 40) -> None:
        """Type at the end of a cell."""
        self.page.locator(".jp-CodeCell .cm-content, .jp-FileEditor .cm-content").nth(index).click()
        self.press("Control+End")
        self.page.keyboard.type(text, delay=delay_ms)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def ghost(self) -> str:
        parts = self.page.eval_on_selector_all(GHOST, "all => all.map(part => part.textContent)")
        return "".join(parts)

    def wait_for_ghost(self, part: str = "", seconds: float = 180.0) -> str:
        wait(lambda: self.ghost() and part in self.ghost(), f"ghost text {part!r}", seconds, self.ghost)
        return self.ghost()

    def save(self) -> list[str]:
        """Save, and return the text of each cell; of a file its text."""
        before = self._path.stat().st_mtime_ns
        self.press("Control+s")
        wait(lambda: self._path.stat().st_mtime_ns > before, "the saved file")
        text = self._path.read_text()
        if self._path.suffix != ".ipynb":
            return [text]
        return ["".join(cell["source"]) for cell in json.loads(text)["cells"]]

    def close(self) -> None:
        self.page.close()


def websocket_status(lab: JupyterLab, token: str | None) -> int:
    """The status code with which the Jupyter server answers an attempt to open the extension's WebSocket."""
    query = f"?token={token}" if token else ""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    headers["Sec-WebSocket-Version"] = "13"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"GET /starcoder/completions{query} HTTP/1.1\r\nHost: 127.0.0.1:{lab.port}\r\n{lines}\r\n"
    with socket.create_connection(("127.0.0.1", lab.port), timeout=60) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(4096).split()[1])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[JupyterLab]:
    """A JupyterLab that is not started yet. Skips the test unless `JUPYTERLAB` names a jupyter-lab."""
    program = os.environ.get("JUPYTERLAB")
    if not program:
        pytest.skip("JUPYTERLAB names no jupyter-lab: `make test-editors` installs one")
    with running_browser() as browser:
        lab = JupyterLab(program, folder, browser)
        try:
            yield lab
        finally:
            lab.close()
