from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.generation import FinishReason, Timings
from starcoder_ls.lsp.client import Client, ResponseFailed
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session import feedback
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.feedback import retained_percent, suggestion_key
from starcoder_ls.settings import Feedback


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    return tmp_path / "feedback.sqlite3"


def stored_rows(state: Path, columns: str = "outcome, accepted_chars, kept_percent") -> list[tuple[Any, ...]]:
    """Empty if there is no file or no table."""
    if not state.exists():
        return []
    database = sqlite3.connect(state)
    try:
        return database.execute(f"select {columns} from suggestions order by shown_at").fetchall()
    except sqlite3.OperationalError:  # the table does not exist yet
        return []
    finally:
        database.close()


async def request_item(client: Client, character: int = 4) -> dict[str, Any]:
    (item,) = await client.inline_completion(URI, 0, character)
    return item


def accept(client: Client, shown: dict[str, Any]) -> Any:
    return client.request("workspace/executeCommand", {**shown["command"]})


def replace_text(client: Client, text: str, version: int = 2) -> None:
    client.change(URI, version, {"text": text})


@async_test
async def test_accepted_suggestion_is_recorded_with_its_details(state: Path) -> None:
    async with initialized_client(ScriptedEngine([["one", "(two)", "\n"]])) as client:
        client.open(URI, "x = \n")
        shown = await request_item(client)
        client.notify("textDocument/didShowCompletion", {"item": shown})
        replace_text(client, "x = one(two)\n")
        assert await accept(client, shown) is None
        await wait_until(lambda: stored_rows(state) == [("accepted", 8, None)])
        assert stored_rows(state, "language, model, source, chars, lines, suggestion") == [
            ("python", "scripted", "model", 8, 1, None)
        ]


@pytest.mark.parametrize(("is_open", "percent"), [(True, 50), (False, None)], ids=["open", "closed since"])
@async_test
async def test_accepted_suggestion_is_compared_with_the_document_later(
    state: Path, is_open: bool, percent: int | None
) -> None:
    loop, timers = asyncio.get_running_loop(), list[tuple[float, Callable[[], None]]]()

    def call_later(delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append((delay_s, callback))
        return loop.call_later(3600, callback)

    documents = Documents()
    documents.open(URI, "python", 1, "x = \n")
    client_settings = ClientSettings(SCRIPTED_SETTINGS, lambda _: None)
    recorder = feedback.Feedback(client_settings, documents, lambda: "scripted", call_later)
    suggestion = Suggestion("one(two)", 4, 4, FinishReason.STOP_RULE, 9, 3, Timings())
    (command,) = recorder.offer(Cursor("x = \n", 4, "python", document=URI), [suggestion])
    assert command is not None
    (argument,) = command.arguments or ()
    recorder.on_accepted(argument["id"])
    await wait_until(lambda: stored_rows(state) == [("accepted", 8, None)])
    documents.open(URI, "python", 2, "x = one(\n")
    if not is_open:
        documents.close(URI)
    ((delay_s, callback),) = timers
    assert delay_s == feedback.RETENTION_CHECK_S
    callback()
    recorder.close()
    assert stored_rows(state) == [("accepted", 8, percent)]


@async_test
async def test_shown_suggestion_that_was_replaced_is_rejected(state: Path) -> None:
    async with initialized_client(ScriptedEngine([["one()", "\n"]])) as client:
        client.open(URI, "x = \n")
        client.notify("textDocument/didShowCompletion", {"item": await request_item(client)})
        await wait_until(lambda: stored_rows(state) == [("shown", 0, None)])
        replace_text(client, "y += \n")
        await request_item(client, 5)
        await wait_until(lambda: stored_rows(state) == [("rejected", 0, None)])


@async_test
async def test_rest_of_a_partly_typed_suggestion_is_the_same_suggestion(state: Path) -> None:
    async with initialized_client(ScriptedEngine([["one", "(two)", "\n"]])) as client:
        client.open(URI, "x = \n")
        first = await request_item(client)
        client.notify("textDocument/didShowCompletion", {"item": first})
        client.notify("textDocument/didPartiallyAcceptCompletion", {"item": first, "acceptedLength": 3})
        replace_text(client, "x = one\n")
        rest = await request_item(client, 7)
        assert (rest["insertText"], suggestion_key({"item": rest})) == ("(two)", suggestion_key({"item": first}))
        client.notify("textDocument/didPartiallyAcceptCompletion", {"item": rest, "acceptedLength": 1})
        await wait_until(lambda: stored_rows(state) == [("partly", 4, None)])
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        await accept(client, rest)  # too late; ignored
        assert stored_rows(state) == [("partly", 4, None)]


@pytest.mark.parametrize("keep", ["outcomes", "text"])
@async_test
async def test_text_is_recorded_only_if_enabled_and_without_secrets(keep: Any, state: Path) -> None:
    settings = SCRIPTED_SETTINGS.model_copy(update={"feedback": Feedback(keep=keep)})
    async with initialized_client(ScriptedEngine([["one()", "\n"]]), settings) as client:
        client.open(URI, 'x = \npassword = "hunter2-correct-horse-9"\n')
        client.notify("textDocument/didShowCompletion", {"item": await request_item(client)})
        await wait_until(lambda: len(stored_rows(state)) == 1)
        ((before, after, text),) = stored_rows(state, "prefix, suffix, suggestion")
        if keep == "outcomes":
            assert (before, after, text) == (None, None, None)
        else:
            assert (before, text) == ("x = ", "one()")
            assert "password" in after
            assert "hunter2" not in after


@async_test
async def test_disabled_feedback_sends_items_without_a_command(state: Path) -> None:
    settings = SCRIPTED_SETTINGS.model_copy(update={"feedback": Feedback(keep="nothing")})
    async with initialized_client(ScriptedEngine(), settings) as client:
        client.open(URI, "x = \n")
        assert "command" not in await request_item(client)
    assert stored_rows(state) == []


@async_test
async def test_unknown_and_malformed_feedback_is_ignored(state: Path) -> None:
    async with initialized_client(ScriptedEngine()) as client:
        for params in (None, {}, {"item": 3}, {"item": {"command": {"arguments": [{"id": "unknown"}]}}}):
            client.notify("textDocument/didShowCompletion", params)
            client.notify("textDocument/didPartiallyAcceptCompletion", params)
        with pytest.raises(ResponseFailed, match="`id` is missing"):
            await client.request("workspace/executeCommand", {"command": feedback.ACCEPTED, "arguments": [{}]})
    assert stored_rows(state) == []


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("a = 1\nx = one(two)\n", 100),
        ("# new\n\na = 1\nx = one(two)  \n", 100),  # moved down
        ("a = 1\nx = one(three)\n", 62),  # "one(t" and nothing else that is longer than two characters
        ("a = 1\n", 0),
        ("", 0),
    ],
)
def test_retained_percent_counts_text_that_is_still_there(text: str, percent: int) -> None:
    assert retained_percent("one(two)", "a = 1\nx = ", 10, text) == percent
