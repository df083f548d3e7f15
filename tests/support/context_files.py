"""A small workspace on disk, and the client's requests and notifications about it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from fakes import ScriptedEngine
from harness import notifications_of
from starcoder_ls.lsp.client import Client

EXCLUDED = {"status": "excluded"}


def create_workspace(folder: Path) -> None:
    text = "def matrix_inverse(rows):\n    first_version = 1\n    return rows\n"
    (folder / "helper.py").write_text(text)


async def wait_until_indexed(client: Client, engine: ScriptedEngine, folder: Path, expected: str) -> None:
    """Request completions in new documents of ``folder`` until a request has ``expected`` in its lookup text."""
    limit = time.monotonic() + 300
    for number in range(1000):
        uri = (folder / f"new{number}.py").as_uri()
        client.open(uri, "matrix_inverse(rows")
        await client.inline_completion(uri, 0, 15)
        if any(expected in text for text in engine.requests[-1].lookup_text):
            return
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        assert time.monotonic() < limit, f"{expected} was not indexed in time"
        await asyncio.sleep(0.02)


def document_statuses(client: Client) -> list[Any]:
    return notifications_of(client, "starcoder/documentStatus")
