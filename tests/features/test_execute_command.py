from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from actions import ADAPTER, COMMANDS_ONLY, EDITOR, apply_edits, execute_command, lsp_range
from fakes import ScriptedEngine
from harness import (
    INLINE_COMPLETION,
    URI,
    async_test,
    initialized_client,
    notifications_of,
    wait_until,
    wait_until_idle,
)
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import AdapterStatus, Priority
from starcoder_ls.lsp.client import Client, ResponseFailed
from starcoder_ls.settings import Adapter

CODE = "def add(a, b):\n    return a - b\n"
WORDS = ["It ", "adds ", "[two](command:x) ", "<b>numbers</b>.", "\nQuest", "ion: What", " is 2 + 2?"]
ANSWER_TEXT = "It adds two \\<b>numbers\\</b>."
SLOW = [f"word{i} " for i in range(5000)]
TARGET: dict[str, Any] = {"uri": URI, "range": lsp_range(0, 2)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "starcoder-ls" / "answers"


def engine(*answer: str, token_s: float = 0.0) -> ScriptedEngine:
    return ScriptedEngine([answer or WORDS], adapters=["astraios"], token_s=token_s)


def progress(client: Client) -> list[str]:
    return [params["value"]["text"] for params in notifications_of(client, "$/progress") if params["token"] == "t"]


@async_test
async def test_explanation_is_streamed_to_the_token_and_complete_in_the_result() -> None:
    used = engine(token_s=0.05)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        result = await execute_command(client, "starcoder.explain", {**TARGET, "token": "t"})
        assert result == {"text": ANSWER_TEXT, "isComplete": True}
        sent = progress(client)
        assert sent[-1] == ANSWER_TEXT
        assert len(sent) > 1
        assert all("command:" not in text and "Quest" not in text for text in sent)
        assert used.requests[0].priority is Priority.EXPLANATION
        assert used.requests[0].cancel.is_set()  # the generation goes on after the answer has ended
        assert not notifications_of(client, "window/showMessage")  # which would name a file


def test_without_a_token_a_private_file_is_opened_and_old_files_removed(cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o755)
    old, foreign = cache / "starcoder-old.md", cache / "notes.md"
    for path in (old, foreign):
        path.write_text("x")
        os.utime(path, (0, 0))
    file = Path(unquote(urlparse(asyncio.run(explain_and_return_opened_uri())).path))
    assert file.read_text(encoding="utf-8") == ANSWER_TEXT + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not old.exists()
    assert foreign.exists()


async def explain_and_return_opened_uri() -> str:
    """Run explain; the URI that the server asked the client to open."""
    opened: list[str] = []

    def on_request(method: str, params: Any) -> Any:
        assert method == "window/showDocument"
        opened.append(params["uri"])
        return {"success": True}

    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.on_request = on_request
        client.open(URI, CODE)
        assert (await execute_command(client, "starcoder.explain", TARGET))["text"] == ANSWER_TEXT
        await wait_until(lambda: bool(opened))
        assert not notifications_of(client, "window/showMessage")
    return opened[0]


@async_test
async def test_client_without_show_document_gets_a_message_with_the_path(cache: Path) -> None:
    async with initialized_client(engine(), capabilities=COMMANDS_ONLY, options=ADAPTER) as client:
        client.open(URI, CODE)
        await execute_command(client, "starcoder.explain", TARGET)
        await wait_until(lambda: bool(notifications_of(client, "window/showMessage")))
        (message,) = notifications_of(client, "window/showMessage")
        assert str(cache) in message["message"]


@async_test
async def test_unanswered_show_document_does_not_delay_other_requests() -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client._receive = lambda message, old=client._receive: None if "window/show" in str(message) else old(message)  # type: ignore[method-assign, misc]
        client.open(URI, CODE)
        assert (await execute_command(client, "starcoder.explain", TARGET))["text"] == ANSWER_TEXT
        assert await client.inline_completion(URI, 1, 4)


@async_test
async def test_change_does_not_cancel_an_explanation_and_completion_has_priority() -> None:
    used = engine(*[f"word{i} " for i in range(40)], token_s=0.02)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        explaining = execute_command(client, "starcoder.explain", {**TARGET, "token": "t"})
        await wait_until(lambda: used.steps >= 3)
        client.change(URI, 2, {"text": CODE + "x = "})
        ghost = client.inline_completion(URI, 2, 4)
        assert (await explaining)["text"].endswith("word39")
        assert await ghost
        assert used.requests[1].priority < used.requests[0].priority


@async_test
async def test_newer_explanation_cancels_the_older_one_with_null() -> None:
    used = engine(*SLOW, token_s=0.01)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        older = execute_command(client, "starcoder.explain", {**TARGET, "token": "t"})
        await wait_until(lambda: used.steps >= 3)
        newer = execute_command(client, "starcoder.explain", {**TARGET, "token": "u"})
        assert await older is None
        client.cancel(newer)
        with pytest.raises(ResponseFailed) as caught:
            await newer
        assert caught.value.code == -32800
        steps = used.steps
        await wait_until_idle(used)
        assert used.steps <= steps + 1
        assert not client.unmatched_responses


@async_test
async def test_result_notes_truncated_code_and_truncated_answer() -> None:
    options = {**ADAPTER, "actions": {"explain": {"max_new_tokens": 5}}}
    async with initialized_client(engine(*SLOW), capabilities=EDITOR, options=options) as client:
        client.open(URI, "x = 1\n" * 9000)
        result = await execute_command(
            client, "starcoder.explain", {"uri": URI, "range": lsp_range(0, 9000), "token": "t"}
        )
        assert result["isComplete"] is False
        note, _, answer = result["text"].partition("\n\n")
        assert note.startswith("> Only the first ")
        assert "of 9000 lines were read" in note
        assert note.endswith("The answer is cut after 5 tokens.")
        assert answer == "word0 word1 word2 word3 word4"


@async_test
async def test_ask_sends_the_users_question_and_the_code() -> None:
    used = engine("Four.")
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        arguments = {**TARGET, "action": "ask", "instruction": "What is {code} 2 + 2?", "token": "t"}
        assert (await execute_command(client, "starcoder.explain", arguments))["text"] == "Four."
        assert used.requests[0].parts == (f"Question: What is {{code}} 2 + 2?\n{CODE.rstrip()}\n\nAnswer:",)


@async_test
async def test_change_caused_by_applying_the_edit_does_not_cancel_act() -> None:
    text = CODE

    def on_request(method: str, params: Any) -> Any:
        nonlocal text
        assert method == "workspace/applyEdit"
        text = apply_edits(CODE, params["edit"]["changes"][URI])
        client.change(URI, 2, {"text": text})
        return {"applied": True}

    async with initialized_client(
        engine("def add(a, b):\n    return a + b"), capabilities=COMMANDS_ONLY, options=ADAPTER
    ) as client:
        client.on_request = on_request
        client.open(URI, CODE)
        result = await execute_command(client, "starcoder.act", {**TARGET, "action": "simplify", "version": 1})
        assert result["applied"] is True
        assert text == "def add(a, b):\n    return a + b\n"


@async_test
async def test_act_on_a_changed_document_gives_content_modified() -> None:
    used = engine(*SLOW, token_s=0.01)
    async with initialized_client(used, capabilities=COMMANDS_ONLY, options=ADAPTER) as client:
        client.open(URI, CODE)
        pending = execute_command(client, "starcoder.act", {**TARGET, "action": "simplify"})
        await wait_until(lambda: used.steps >= 2)
        client.change(URI, 2, {"text": CODE + "\n"})
        with pytest.raises(ResponseFailed) as caught:
            await pending
        assert caught.value.code == -32801


class SelectiveEngine(ScriptedEngine):
    """Accepts only the adapter "good"."""

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if adapter.path != "good":
            raise AdapterInvalid(f"{adapter.path} is no adapter. Name another.")
        return await super().attach(name, adapter)


@async_test
async def test_adapters_can_be_attached_listed_and_detached_at_run_time() -> None:
    async with initialized_client(SelectiveEngine([WORDS]), capabilities=EDITOR) as client:
        client.open(URI, CODE)
        assert await execute_command(client, "starcoder.listAdapters") == []
        with pytest.raises(ResponseFailed, match=r"No adapter for 'explain'.*adapters\.NAME") as caught:
            await execute_command(client, "starcoder.explain", TARGET)
        assert caught.value.code == -32803
        with pytest.raises(ResponseFailed, match="bad is no adapter"):
            await execute_command(client, "starcoder.attachAdapter", {"name": "one", "path": "bad"})
        attached = await execute_command(
            client, "starcoder.attachAdapter", {"name": "one", "path": "good", "tasks": ["explain"]}
        )
        assert attached == {"name": "one", "method": "LORA", "memoryBytes": 0}
        (listed,) = await execute_command(client, "starcoder.listAdapters")
        assert (listed["name"], listed["source"], listed["tasks"]) == ("one", "good", ["explain"])
        assert (await execute_command(client, "starcoder.explain", {**TARGET, "token": "t"}))["text"] == ANSWER_TEXT
        assert await execute_command(client, "starcoder.detachAdapter", {"name": "one"}) == {"name": "one"}
        assert await execute_command(client, "starcoder.listAdapters") == []
        with pytest.raises(ResponseFailed, match="No adapter one"):
            await execute_command(client, "starcoder.detachAdapter", {"name": "one"})
        with pytest.raises(ResponseFailed, match="No adapter for 'explain'"):
            await execute_command(client, "starcoder.explain", TARGET)


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("starcoder.fly", [], "The commands are: starcoder.explain"),
        ("starcoder.explain", [], "`uri` is missing; `range` is missing"),
        ("starcoder.explain", [5], "argument"),
        ("starcoder.explain", [TARGET, TARGET], "one argument"),
        ("starcoder.explain", [{**TARGET, "token": 1.5}], "token"),
        ("starcoder.attachAdapter", [{"name": "a.b", "path": "x"}], "`name`"),
        ("starcoder.attachAdapter", [{"name": "a"}], "`path` is missing"),
        ("starcoder.attachAdapter", [{"name": "a", "path": "x", "task": []}], "`task` is not known"),
        ("starcoder.detachAdapter", [{}], "`name` is missing"),
    ],
)
@async_test
async def test_invalid_arguments_are_named_in_the_error(command: str, arguments: list[Any], expected: str) -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed) as caught:
            await execute_command(client, command, *arguments)
        assert caught.value.code == -32602
        assert expected in caught.value.message


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("starcoder.explain", {"action": "simplify"}, "run starcoder.act"),
        ("starcoder.act", {"action": "explain"}, "run starcoder.explain"),
        ("starcoder.explain", {"action": "ask"}, "instruction"),
        ("starcoder.explain", {"uri": "file:///none"}, "not open"),
    ],
)
@async_test
async def test_impossible_request_gets_a_one_sentence_error(
    command: str, arguments: dict[str, Any], expected: str
) -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed) as caught:
            await execute_command(client, command, {**TARGET, **arguments})
        assert caught.value.code == -32803
        assert expected in caught.value.message


@async_test
async def test_act_without_apply_edit_is_rejected_before_generation() -> None:
    used = engine()
    async with initialized_client(used, capabilities=INLINE_COMPLETION, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed, match="apply edits"):
            await execute_command(client, "starcoder.act", {**TARGET, "action": "simplify"})
        assert not used.requests


@async_test
async def test_empty_answer_gets_a_one_sentence_error() -> None:
    async with initialized_client(engine(" \n"), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed, match="answer is empty"):
            await execute_command(client, "starcoder.explain", TARGET)
