from __future__ import annotations

import asyncio

import pytest

from harness import async_test
from starcoder_ls.generation import Engine
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.language_client import LanguageClient
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.model_edits import ModelEdits
from starcoder_ls.session.next_edits import NextEdits, Offer
from starcoder_ls.session.workspace_context import WorkspaceContext
from starcoder_ls.settings import Settings

URI = "file:///project/app.py"
CODE = "def f(n):\n    a(n)\n    b(n)\n    return 0\n"


class Client:
    """A document after its parameter ``n`` was renamed to ``k``, and requests about it."""

    def __init__(self, text: str = CODE, engine: Engine | None = None) -> None:
        self.documents, self.settings = Documents(), ClientSettings(Settings(), lambda _: None)
        self.context = WorkspaceContext(self.settings, self.documents, LanguageClient())
        model_edits = ModelEdits(self.settings, lambda: engine, "client")
        self.next_edits = NextEdits(self.settings, self.documents, self.context.recent_edits, model_edits)
        self.documents.open(URI, "python", 1, text)
        self.document = self.documents.get(URI)
        self.change(0, 6, 7, "k")

    def change(self, line: int, start: int, end: int, text: str) -> None:
        edit = Edit(text, Position(line, start), Position(line, end))
        self.documents.change(URI, self.document.version + 1, [edit])

    async def find(self) -> Offer | None:
        return await self.next_edits.find(self.document, 0)

    async def line(self) -> int | None:
        """The line of the edit that is offered."""
        offer = await self.find()
        return None if offer is None else self.document.position_at(offer.replacement.start).line


@async_test
async def test_nearest_edit_is_offered_with_the_same_key_until_it_is_accepted() -> None:
    client = Client()
    first, second = await client.find(), await client.find()
    assert first is not None
    assert second is not None
    assert (first.replacement.text, first.key) == ("k", second.key)
    client.change(1, 6, 7, "k")
    client.next_edits.on_accepted(first.key)
    assert await client.line() == 2


@async_test
async def test_accepted_edit_is_not_offered_again_after_undo() -> None:
    client = Client()
    assert await client.line() == 1
    client.change(1, 6, 7, "k")  # applied by a client that does not report it
    assert await client.line() == 2
    client.change(1, 6, 7, "n")
    assert await client.line() == 2


@async_test
async def test_dismissed_edit_is_not_offered_again() -> None:
    client = Client()
    offer = await client.find()
    assert offer is not None
    client.next_edits.on_dismissed(offer.key)
    client.change(3, 11, 12, "1")
    assert await client.line() == 2


@async_test
async def test_edit_that_the_user_left_three_times_is_dismissed() -> None:
    client = Client()
    lines = []
    for value in range(5):
        lines.append(await client.line())
        client.change(3, 11, 12, str(value))
    assert lines == [1, 1, 1, 2, 2]


@async_test
async def test_line_with_a_completion_gets_no_edit() -> None:
    client = Client()
    client.next_edits.on_completion(client.document, 1)
    assert await client.line() == 2
    client.change(3, 11, 12, "1")
    assert await client.line() == 1


@async_test
async def test_edit_is_shown_until_the_text_changes() -> None:
    client = Client()
    offer = await client.find()
    assert offer is not None
    assert not client.next_edits.is_shown_on(client.document, 1)
    client.next_edits.on_shown(offer.key)
    assert [client.next_edits.is_shown_on(client.document, line) for line in (0, 1, 2)] == [False, True, False]
    client.change(3, 11, 12, "1")
    assert not client.next_edits.is_shown_on(client.document, 1)


@async_test
async def test_text_that_changes_during_the_search_gets_no_edit() -> None:
    client = Client()
    await client.next_edits._searching.acquire()
    finding = asyncio.create_task(client.find())
    await asyncio.sleep(0)
    client.change(3, 11, 12, "1")
    client.next_edits._searching.release()
    assert await finding is None


@pytest.mark.parametrize("key", ["", "unknown"])
@async_test
async def test_unknown_key_is_ignored(key: str) -> None:
    client = Client()
    for report in (client.next_edits.on_shown, client.next_edits.on_accepted, client.next_edits.on_dismissed):
        report(key)
    assert await client.line() == 1
    client.next_edits.close()


@async_test
async def test_language_that_is_switched_off_gets_no_edit() -> None:
    client = Client()
    client.settings.apply({"inline_completion": {"excluded_languages": ["python"]}}, "the test")
    assert await client.find() is None
