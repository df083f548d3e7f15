"""Fills holes through a server that speaks LSP, as an editor does: opens the document, asks at the cursor, closes it.

Decides when a server is ready to be measured, and which text its answer adds to the document.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import EngineError, ModelError
from starcoder_ls.evaluation.holes import Hole
from starcoder_ls.evaluation.repository import path_of
from starcoder_ls.lsp.client import Client, ConnectionClosed, ResponseFailed

_POLL_INTERVAL_S = 0.05
_ANSWER_TIMEOUT_S = 120.0
"""Far beyond the server's own limit, ``inline_completion.budget_ms``: a server that takes this long is broken."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server that is ready reports of itself."""

    model: str
    device: str
    adapters: tuple[str, ...]


async def initialize(server: Client, folders: Sequence[Path], options: Mapping[str, Any]) -> None:
    """The handshake of an editor that has ``folders`` open and counts columns in characters."""
    await server.initialize(
        options,
        {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-32"]}},
        os.getpid(),
        workspaceFolders=[{"uri": folder.as_uri(), "name": folder.name} for folder in folders],
    )


async def wait_until_ready(
    server: Client, show_progress: Callable[[str], None], required_adapters: Collection[str] = ()
) -> ServerInfo:
    """Returns when the model is loaded and the workspace is indexed, so that all holes have the same conditions.

    Raises ModelError with the server's message if the model cannot be loaded, or one of ``required_adapters``: a
    server goes on without an adapter, and the run would measure the model alone.
    """
    while True:
        status = await server.request("starcoder/status")
        if status["phase"] == "failed":
            raise ModelError(status["message"])
        names = tuple(adapter["name"] for adapter in status["adapters"])
        if status["phase"] != "loading" and (missing := sorted(set(required_adapters) - set(names))):
            raise ModelError(f"The adapter {', '.join(missing)} is not loaded. {status['message']}".strip())
        workspace = status["workspace"]
        if status["phase"] != "loading" and workspace["isIndexed"]:
            return ServerInfo(status["model"], status["device"], names)
        if status["phase"] == "loading":
            show_progress(f"{status['message'] or 'loading'} ({status['progress']:.0%})")
        else:
            show_progress(f"indexing the workspace ({workspace['indexedFiles']:,} files)")
        await asyncio.sleep(_POLL_INTERVAL_S)


async def request_suggestion(server: Client, hole: Hole, language_id: str) -> tuple[str, float]:
    """The text that the server suggests for the hole, and the milliseconds from the request to the answer.

    The document is opened for this one request, so the time includes reading the whole prompt, as after a jump to
    another position; while a user types it is less. Raises EngineError if the server answers with an error, does not
    answer, or ends.
    """
    uri, before = path_of(hole.source).as_uri(), hole.text[: hole.start]
    server.open(uri, hole.text, language_id)
    started_s = time.perf_counter()
    pending = server.inline_completion(uri, before.count("\n"), len(before) - before.rfind("\n") - 1)
    try:
        items = await asyncio.wait_for(pending.future, _ANSWER_TIMEOUT_S)
    except TimeoutError as error:
        raise EngineError(f"The server did not answer within {_ANSWER_TIMEOUT_S:.0f} s. Look at its log.") from error
    except ResponseFailed as error:
        raise EngineError(f"The server answered with an error: {error}.") from error
    except ConnectionClosed as error:
        raise EngineError("The server has ended during the run.") from error
    elapsed_ms = (time.perf_counter() - started_s) * 1000
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    return (added_text(hole, items[0]) if items else ""), elapsed_ms


def added_text(hole: Hole, item: Mapping[str, Any]) -> str:
    """The text of a completion item without what its range replaces by the same text on either side of the cursor."""
    text: str = item["insertText"]
    if "range" not in item:
        return text
    line_start = hole.text.rfind("\n", 0, hole.start) + 1
    start, end = (line_start + item["range"][side]["character"] for side in ("start", "end"))
    return strip_replaced(text, hole.text[start : hole.start], hole.text[hole.start : end])


def strip_replaced(text: str, left: str, right: str) -> str:
    """``text``, which replaces ``left`` and ``right`` around a cursor, without them if it begins and ends so."""
    if len(text) >= len(left) + len(right) and text.startswith(left) and text.endswith(right):
        return text[len(left) : len(text) - len(right)]
    return text
