"""The server extension for JupyterLab without JupyterLab: a page that sends messages to a session and receives them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starcoder_jupyterlab.browser_session import BrowserSession

RECORDER = [sys.executable, "-S", str(Path(__file__).with_name("recording_language_server.py"))]
NOTEBOOK = "analysis.ipynb"


class Page:
    """``received`` has the messages of the session, in order."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self._changed = asyncio.Event()
        self._requests = 0
        self.session: BrowserSession

    def add(self, message: dict[str, Any]) -> None:
        self.received.append(message)
        self._changed.set()

    async def message(self, type_: str, **values: Any) -> dict[str, Any]:
        """The first message of a type with these values, once it has arrived; it is removed."""
        while True:
            for message in self.received:
                if message["type"] == type_ and values.items() <= message.items():
                    self.received.remove(message)
                    return message
            self._changed.clear()
            await self._changed.wait()

    async def recorded(self, method: str) -> Any:
        """The params of the next message of ``method`` that the recording server has received."""
        while True:
            recorded = json.loads((await self.message("notice"))["text"])
            if method in recorded:
                return recorded[method]

    def show(self, *texts: str | None, name: str = NOTEBOOK, ids: str = "abcdefgh", markdown: str = "") -> None:
        """Send the cells of a notebook. None: the text is as before. ``markdown`` has the ids of cells with prose."""
        cells = [
            {
                "id": cell,
                "language": "markdown" if cell in markdown else "python",
                "isCode": cell not in markdown,
                **({} if text is None else {"text": text}),
            }
            for cell, text in zip(ids, texts, strict=False)
        ]
        is_notebook = name.endswith(".ipynb")
        self.session.receive({"type": "document", "document": name, "isNotebook": is_notebook, "cells": cells})

    def complete(self, cell: str, offset: int, name: str = NOTEBOOK, *, is_invoked: bool = False) -> int:
        """Send a request; its number."""
        self._requests += 1
        self.session.receive(
            {
                "type": "complete",
                "request": self._requests,
                "document": name,
                "cell": cell,
                "offset": offset,
                "isInvoked": is_invoked,
            }
        )
        return self._requests

    async def items(self, cell: str, offset: int, name: str = NOTEBOOK) -> list[dict[str, Any]]:
        """The suggestions at a cursor."""
        items: list[dict[str, Any]] = (await self.message("items", request=self.complete(cell, offset, name)))["items"]
        return items


@asynccontextmanager
async def opened_page(command: Sequence[str] | None, root: Path | None = None) -> AsyncIterator[Page]:
    """A page whose session starts ``command``; None if no program is found."""
    page = Page()
    page.session = BrowserSession(
        page.add, lambda: None if command is None else list(command), root, logging.getLogger("starcoder_jupyterlab")
    )
    page.session.start()
    try:
        yield page
    finally:
        await page.session.close()
