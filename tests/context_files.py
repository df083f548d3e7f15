"""A small workspace on disk, and what a client is told of its documents."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from fakes import ScriptedEngine
from harness import notifications_of
from starcoder_ls.lsp.client import Client

EXCLUDED = {"status": "excluded"}


def workspace(folder: Path) -> None:
    text = "def matrix_inverse(rows):\n    first_version = 1\n    return rows\n"
    (folder / "helper.py").write_text(text)


async def asked_with_evidence(client: Client, engine: ScriptedEngine, folder: Path, wanted: str) -> None:
    """Ask in new documents of ``folder`` until a request carries ``wanted`` as evidence: the index takes its time."""
    limit = time.monotonic() + 60
    for number in range(1000):
        uri = (folder / f"asking{number}.py").as_uri()
        client.open(uri, "matrix_inverse(rows")
        await client.inline_completion(uri, 0, 15)
        if any(wanted in text for text in engine.requests[-1].lookup_text):
            return
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        assert time.monotonic() < limit, f"{wanted} was never found"
        await asyncio.sleep(0.02)


def documents_told(client: Client) -> list[Any]:
    return notifications_of(client, "starcoder/documentStatus")
