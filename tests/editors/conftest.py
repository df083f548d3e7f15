"""VS Code with the packaged extension: one for each module, and windows on a folder of their own for each test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vscode as driver
from harness import FAKE_SERVER_COMMAND
from vscode import OpenWindow, VSCode, Window, wait


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VSCode]:
    with driver.running(tmp_path_factory.mktemp("vscode")) as vscode:
        yield vscode


@pytest.fixture
def open_window(code: VSCode, tmp_path: Path) -> Iterator[OpenWindow]:
    """Opens a window on ``app.py`` in its own folder; by default its server has a scripted engine.

    Further arguments are settings of the machine.
    """
    windows: list[Window] = []
    code.write_user_settings()

    def start_window(
        engine: dict[str, Any] | None = None,
        text: str = driver.CODE,
        server: list[str] | None = None,
        **machine: object,
    ) -> Window:
        folder = tmp_path / f"window{len(windows)}"
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(text)
        command = [*FAKE_SERVER_COMMAND, json.dumps(engine or {})] if server is None else server
        code.write_machine_settings(**{"starcoder.server.command": command, **machine})
        windows.append(code.open(folder, "app.py"))
        return windows[-1]

    yield start_window
    for window in windows:
        window.close()
    wait(lambda: not code.servers(), "end of the servers of closed windows", 180, code.servers)
