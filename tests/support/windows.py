"""Window processes (window_fake.py) and the daemon that they share (serve_fake.py), for tests of both."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from harness import INLINE_COMPLETION, URI, wait_until_ready
from starcoder_ls.lsp.client import Client, start

WINDOW_COMMAND = [sys.executable, str(Path(__file__).with_name("window_fake.py"))]

QUICK_ENGINE: dict[str, Any] = {"token_s": 0.001}
SLOW_ENGINE: dict[str, Any] = {"scripts": [["x = ", "1", "\n"]], "token_s": 0.05}
ENDLESS_ENGINE: dict[str, Any] = {"scripts": [[f"word{i} " for i in range(5000)]], "token_s": 0.02}


def daemons(folder: Path) -> list[psutil.Process]:
    """The processes whose last argument is a socket in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or [""]
        if command[-1].startswith(str(folder)):
            found.append(process)
    return found


def files_in(folder: Path) -> list[Path]:
    """All files in ``folder``: one socket while a daemon runs. Empty if the folder does not exist."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def is_clean(folder: Path) -> bool:
    """Whether no daemon and no file is left."""
    return not daemons(folder) and not files_in(folder)


@asynccontextmanager
async def open_window(
    engine_options: dict[str, Any],
    text: str = "x = ",
    is_ready: bool = True,
    wrapper: tuple[str, ...] = (),
    arguments: tuple[str, ...] = (),
) -> AsyncIterator[Client]:
    """A window with a document, whose engine is ready unless ``is_ready`` is False. ``wrapper`` runs its command, which
    has the ``arguments`` of ``starcoder-ls serve``."""
    command = [*wrapper, *WINDOW_COMMAND, json.dumps(engine_options), *arguments]
    async with start(command, stderr=subprocess.DEVNULL) as client:
        await client.initialize({"inline_completion": {"budget_ms": 60_000}}, INLINE_COMPLETION)
        if is_ready:
            await wait_until_ready(client)
        client.open(URI, text)
        yield client


def first_suggestion(items: Any) -> str:
    assert items, "no suggestion"
    return str(items[0]["insertText"])


async def request_status(client: Client) -> dict[str, Any]:
    status: dict[str, Any] = await client.request("starcoder/status")
    return status


async def wait_for_phase(client: Client, phase: str) -> None:
    while (await request_status(client))["phase"] != phase:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait without a limit of its own: the limit of the test applies."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def shown_messages(client: Client) -> list[str]:
    return [params["message"] for name, params in client.notifications if name == "window/showMessage"]
