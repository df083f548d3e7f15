"""Holes filled through a server that speaks LSP, as an editor would: open the file without the hole, ask, close.

Decides when a server is ready to be measured and what its answer adds to the text. Refuses to know scores and models.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import EngineError, ModelError
from starcoder_ls.evaluation.holes import Hole
from starcoder_ls.evaluation.repository import path_of
from starcoder_ls.lsp.client import Client, ConnectionClosed, ResponseFailed

_POLL_S = 0.05
_ANSWER_S = 120.0
"""A server that says nothing for so long is broken: its own limit is ``inline_completion.budget_ms``."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What the server says of itself once it can be asked."""

    model: str
    device: str
    adapters: tuple[str, ...]


async def introduced(server: Client, folders: Sequence[Path], options: Mapping[str, Any]) -> None:
    """The handshake of an editor that has ``folders`` open and counts characters, not UTF-16 units."""
    await server.initialize(
        options,
        {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-32"]}},
        os.getpid(),
        workspaceFolders=[{"uri": folder.as_uri(), "name": folder.name} for folder in folders],
    )


async def ready(server: Client, tell: Callable[[str], None]) -> Ready:
    """Until the model is loaded and the workspace indexed, so that no hole is luckier than another.

    Raises ModelError with the server's own sentence.
    """
    while True:
        status = await server.request("starcoder/status")
        if status["phase"] == "failed":
            raise ModelError(status["message"])
        workspace = status["workspace"]
        if status["phase"] != "loading" and workspace["isIndexed"]:
            names = tuple(adapter["name"] for adapter in status["adapters"])
            return Ready(status["model"], status["device"], names)
        if status["phase"] == "loading":
            tell(f"{status['message'] or 'loading'} ({status['progress']:.0%})")
        else:
            tell(f"indexing the workspace ({workspace['indexedFiles']:,} files)")
        await asyncio.sleep(_POLL_S)


async def suggestion(server: Client, hole: Hole, language: str) -> tuple[str, float]:
    """What the server would put at the hole, and the milliseconds from the question to the answer.

    Raises EngineError where it fails or goes. The document is opened for this one question: whatever the server has
    to read for it is read in this time, as after a jump to another place; while somebody types it is less.
    """
    uri, before = path_of(hole.source).as_uri(), hole.text[: hole.start]
    server.open(uri, hole.text, language)
    began_s = time.perf_counter()
    asked = server.inline_completion(uri, before.count("\n"), len(before) - before.rfind("\n") - 1)
    try:
        items = await asyncio.wait_for(asked.future, _ANSWER_S)
    except TimeoutError as error:
        raise EngineError(f"The server has not answered within {_ANSWER_S:.0f} s. Look at its log.") from error
    except ResponseFailed as error:
        raise EngineError(f"The server answered with an error: {error}.") from error
    except ConnectionClosed as error:
        raise EngineError("The server has ended in the middle of the run.") from error
    elapsed_ms = (time.perf_counter() - began_s) * 1000
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    return (added(hole, items[0]) if items else ""), elapsed_ms


def added(hole: Hole, item: Mapping[str, Any]) -> str:
    """The item's text without what it repeats of the text around the cursor: its range may hold some on either side."""
    text: str = item["insertText"]
    if "range" not in item:
        return text
    line_start = hole.text.rfind("\n", 0, hole.start) + 1
    start, end = (line_start + item["range"][side]["character"] for side in ("start", "end"))
    return without_repeated(text, hole.text[start : hole.start], hole.text[hole.start : end])


def without_repeated(text: str, left: str, right: str) -> str:
    """``text``, which replaces ``left`` and ``right`` around a cursor, without them where it has them itself."""
    if len(text) >= len(left) + len(right) and text.startswith(left) and text.endswith(right):
        return text[len(left) : len(text) - len(right)]
    return text
