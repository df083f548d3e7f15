"""Drives a headless VS Code (code-server) with the packaged extension through a browser; see `make test-editors`.

`VSCODE` names the code-server to run, `CHROMIUM` the browser.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from browser import running_browser

ROOT = Path(__file__).parents[2]
VSIX = ROOT / "editors" / "vscode" / "starcoder-ls.vsix"
BUNDLED_SERVER = [sys.executable, "-m", "starcoder_ls", "serve"]
GHOST = '.monaco-editor [class*="ghost-text-decoration"], .monaco-editor .ghost-text'
STATUS = '.statusbar-item[id*="starcoder.status"]'
USER_SETTINGS = {
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "chat.disableAIFeatures": True,
    "files.autoSave": "off",
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.minimap.enabled": False,
    "telemetry.telemetryLevel": "off",
    "security.workspace.trust.enabled": False,
}
CODE = "import os\n\n\ndef add(a, b):\n    return a + b\n"
MARKS = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
_STARTS, _START_ATTEMPTS = 3, 240
_RECONNECTION_S = 20


class VSCode:
    """One code-server with the extension installed in a new profile, and the browser that opens its windows."""

    def __init__(self, binary: str, folder: Path, browser: Any) -> None:
        self._folder, self._browser = folder, browser
        self.profile = folder / "profile"
        folders = ["--user-data-dir", str(self.profile), "--extensions-dir", str(folder / "extensions")]
        self.write_user_settings()
        install = [binary, *folders, "--install-extension", str(VSIX)]
        subprocess.run(install, check=True, capture_output=True, timeout=120)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        quiet = ["--auth", "none", "--disable-telemetry", "--disable-update-check"]
        # It keeps the processes of a window that has not said goodbye, for three hours unless told otherwise.
        quiet += ["--reconnection-grace-time", str(_RECONNECTION_S)]
        self._command = ["nice", binary, *folders, *quiet, "--bind-addr", f"127.0.0.1:{self._port}"]
        for _ in range(_STARTS):
            if self._start():
                return
        raise AssertionError((self._folder / "code-server.log").read_text())

    def _start(self) -> bool:
        """Start the program; False if it has ended: on a busy machine it gives up waiting for its own processes."""
        self._log = (self._folder / "code-server.log").open("ab")
        path = [entry for entry in os.environ["PATH"].split(os.pathsep) if not (Path(entry) / "starcoder-ls").exists()]
        # Only the configured server can be found.
        environment = {**os.environ, "PATH": os.pathsep.join(path), "PIPX_BIN_DIR": str(self._folder)}
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log, env=environment)
        for _ in range(_START_ATTEMPTS):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz"):
                return True
            if self._process.poll() is not None:
                break
            time.sleep(0.5)
        self.close()
        return False

    def write_user_settings(self, **settings: object) -> None:
        self._write("User", {**USER_SETTINGS, **settings})

    def write_machine_settings(self, **settings: object) -> None:
        """Write the settings that a folder may not change, such as the server's command."""
        self._write("Machine", settings)

    def _write(self, name: str, settings: dict[str, Any]) -> None:
        file = self.profile / name / "settings.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))

    def open(self, folder: Path, file: str) -> Window:
        page = self._browser.new_page(viewport={"width": 1200, "height": 700})
        page.goto(f"http://127.0.0.1:{self._port}/?folder={folder}", wait_until="domcontentloaded", timeout=180_000)
        row = page.wait_for_selector(f'.explorer-folders-view .monaco-list-row[aria-label*="{file}"]', timeout=180_000)
        row.dblclick()
        page.wait_for_selector(".monaco-editor .view-line", timeout=180_000)
        return Window(page, folder / file)

    def servers(self) -> list[psutil.Process]:
        """The language server processes that windows have started."""
        return [
            process
            for process in psutil.Process(self._process.pid).children(recursive=True)
            if {"serve", str(ROOT / "tests" / "support" / "serve_fake.py")} & set(process.cmdline())
        ]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


class Window:
    """One window of VS Code: a browser page with its own extension host and server."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.file = page, file
        page.set_default_timeout(120_000)

    def status(self) -> str:
        """The text of the status bar item."""
        item = self.page.query_selector(STATUS)
        return item.inner_text().strip() if item else ""

    def wait_for_status(self, part: str, seconds: float = 180.0) -> None:
        wait(lambda: part in self.status(), f"{part!r} in the status bar", seconds, self.status)

    def ghost(self) -> str:
        """The ghost text on the screen, with all its parts."""
        parts = self.page.eval_on_selector_all(GHOST, "all => all.map(part => part.textContent)")
        return "".join(parts).replace("\xa0", " ")

    def wait_for_ghost(self, part: str = "", seconds: float = 180.0) -> str:
        wait(lambda: self.ghost() and part in self.ghost(), f"ghost text {part!r}", seconds, self.ghost)
        return self.ghost()

    def type(self, text: str, delay_ms: int = 40) -> None:
        self.page.keyboard.type(text, delay=delay_ms)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def run(self, command: str) -> None:
        """Run a command of the palette by its title."""
        self.press("F1")
        self.page.wait_for_selector(".quick-input-widget input", state="visible")
        self.page.keyboard.type(command)
        row = f'.quick-input-list .monaco-list-row.focused:has-text("{command.split(": ")[-1]}")'
        self.page.wait_for_selector(row)
        self.press("Enter")

    def save(self) -> str:
        """Save the file and return its content. (The screen mixes text and ghost text.)"""

        def is_saved() -> bool:
            self.press("Control+s")
            time.sleep(0.3)
            return not self.page.query_selector(".tab.dirty")

        wait(is_saved, "the file to be saved")
        return self.file.read_text()

    def panel(self) -> Any:
        """The frame inside the webview that shows an explanation."""
        found: list[Any] = []

        def find_panel() -> bool:
            found[:] = [frame for frame in self.page.frames if frame.query_selector("nav #insert")]
            return bool(found)

        wait(find_panel, "the panel")
        return found[0]

    def close(self) -> None:
        self.page.close()


OpenWindow = Callable[..., Window]
"""The type of the fixture `open_window`."""


def wait(
    condition: Callable[[], Any], description: str, seconds: float = 180.0, actual: Callable[[], object] = str
) -> None:
    """Wait until ``condition`` is true; the error after ``seconds`` contains ``description`` and ``actual``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(Exception):  # the page is changing; a lasting error is reported below
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError(f"no {description} after {seconds} s; actual: {actual()!r}")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[VSCode]:
    """A VS Code whose files are in ``folder``. Skips the test unless `VSCODE` names a code-server."""
    binary = os.environ.get("VSCODE")
    if not binary:
        pytest.skip("VSCODE names no code-server: `make test-editors` installs one")
    sources = [VSIX.with_name("package.json"), *(VSIX.parent / "src").iterdir()]
    if not VSIX.is_file() or VSIX.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        pytest.fail(f"{VSIX.name} is missing or older than its sources: run `make editors`")
    with running_browser() as browser:
        vscode = VSCode(binary, folder, browser)
        try:
            yield vscode
        finally:
            vscode.close()
