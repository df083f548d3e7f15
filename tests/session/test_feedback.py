from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until
from starcoder_ls.lsp.client import Client, ResponseFailed
from starcoder_ls.session import feedback
from starcoder_ls.session.feedback import retained_percent, suggestion_key
from starcoder_ls.settings import Feedback


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    return tmp_path / "feedback.sqlite3"


def rows(state: Path, columns: str = "outcome, accepted_chars, kept_percent") -> list[tuple[Any, ...]]:
    """None where there is no file either."""
    if not state.exists():
        return []
    database = sqlite3.connect(state)
    try:
        return database.execute(f"select {columns} from suggestions order by shown_at").fetchall()
    except sqlite3.OperationalError:  # the table is being made
        return []
    finally:
        database.close()


async def item(client: Client, character: int = 4) -> dict[str, Any]:
    (found,) = await client.inline_completion(URI, 0, character)
    return found


def accept(client: Client, shown: dict[str, Any]) -> Any:
    return client.request("workspace/executeCommand", {**shown["command"]})


def typed(client: Client, text: str, version: int = 2) -> None:
    client.change(URI, version, {"text": text})


@async_test
async def test_accepted_suggestion_is_looked_at_again(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "RETENTION_CHECK_S", 0.1)
    async with initialized_client(ScriptedEngine([["one", "(two)", "\n"]])) as client:
        client.open(URI, "x = \n")
        shown = await item(client)
        client.notify("textDocument/didShowCompletion", {"item": shown})
        typed(client, "x = one(two)\n")
        assert await accept(client, shown) is None
        await wait_until(lambda: rows(state) == [("accepted", 8, None)])
        typed(client, "x = one(\n", 3)
        await wait_until(lambda: rows(state) == [("accepted", 8, 50)])
        assert rows(state, "language, model, source, chars, lines, suggestion") == [
            ("python", "scripted", "model", 8, 1, None)
        ]


@async_test
async def test_shown_and_then_replaced_is_rejected(state: Path) -> None:
    async with initialized_client(ScriptedEngine([["one()", "\n"]])) as client:
        client.open(URI, "x = \n")
        client.notify("textDocument/didShowCompletion", {"item": await item(client)})
        await wait_until(lambda: rows(state) == [("shown", 0, None)])
        typed(client, "y += \n")
        await item(client, 5)
        await wait_until(lambda: rows(state) == [("rejected", 0, None)])


@async_test
async def test_suggestion_that_is_typed_into_stays_one_and_the_same(state: Path) -> None:
    async with initialized_client(ScriptedEngine([["one", "(two)", "\n"]])) as client:
        client.open(URI, "x = \n")
        first = await item(client)
        client.notify("textDocument/didShowCompletion", {"item": first})
        client.notify("textDocument/didPartiallyAcceptCompletion", {"item": first, "acceptedLength": 3})
        typed(client, "x = one\n")
        rest = await item(client, 7)
        assert (rest["insertText"], suggestion_key({"item": rest})) == ("(two)", suggestion_key({"item": first}))
        client.notify("textDocument/didPartiallyAcceptCompletion", {"item": rest, "acceptedLength": 1})
        await wait_until(lambda: rows(state) == [("partly", 4, None)])
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        await accept(client, rest)  # too late, and nobody's mistake
        assert rows(state) == [("partly", 4, None)]


@pytest.mark.parametrize("keep", ["outcomes", "text"])
@async_test
async def test_text_is_kept_only_where_allowed_and_without_secrets(keep: Any, state: Path) -> None:
    given = SCRIPTED_SETTINGS.model_copy(update={"feedback": Feedback(keep=keep)})
    async with initialized_client(ScriptedEngine([["one()", "\n"]]), given) as client:
        client.open(URI, 'x = \npassword = "hunter2-correct-horse-9"\n')
        client.notify("textDocument/didShowCompletion", {"item": await item(client)})
        await wait_until(lambda: len(rows(state)) == 1)
        ((before, after, text),) = rows(state, "prefix, suffix, suggestion")
        if keep == "outcomes":
            assert (before, after, text) == (None, None, None)
        else:
            assert (before, text) == ("x = ", "one()")
            assert "password" in after
            assert "hunter2" not in after


@async_test
async def test_who_wants_nothing_kept_gets_items_without_a_command(state: Path) -> None:
    given = SCRIPTED_SETTINGS.model_copy(update={"feedback": Feedback(keep="nothing")})
    async with initialized_client(ScriptedEngine(), given) as client:
        client.open(URI, "x = \n")
        assert "command" not in await item(client)
    assert rows(state) == []


@async_test
async def test_unknown_and_broken_messages_change_nothing(state: Path) -> None:
    async with initialized_client(ScriptedEngine()) as client:
        for params in (None, {}, {"item": 3}, {"item": {"command": {"arguments": [{"id": "never heard of"}]}}}):
            client.notify("textDocument/didShowCompletion", params)
            client.notify("textDocument/didPartiallyAcceptCompletion", params)
        with pytest.raises(ResponseFailed, match="`id` is missing"):
            await client.request("workspace/executeCommand", {"command": feedback.ACCEPTED, "arguments": [{}]})
    assert rows(state) == []


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
def test_kept_is_what_still_stands_where_it_was_put(text: str, percent: int) -> None:
    assert retained_percent("one(two)", "a = 1\nx = ", 10, text) == percent
