from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from actions import ADAPTER, COMMANDS_ONLY, EDITOR, apply_edits, execute_command, lsp_range
from fakes import ScriptedEngine
from harness import INLINE_COMPLETION, URI, async_test, initialized_client, notifications_of, wait_until
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.generation import AdapterStatus, Priority
from starcoder_ls.lsp.client import Client, ResponseFailed
from starcoder_ls.settings import Adapter

CODE = "def add(a, b):\n    return a - b\n"
WORDS = ["It ", "adds ", "[two](command:x) ", "<b>numbers</b>.", "\nQuest", "ion: What", " is 2 + 2?"]
SAID = "It adds two \\<b>numbers\\</b>."
SLOW = [f"word{i} " for i in range(5000)]
WHERE: dict[str, Any] = {"uri": URI, "range": lsp_range(0, 2)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "starcoder-ls" / "answers"


def engine(*answer: str, token_s: float = 0.0) -> ScriptedEngine:
    return ScriptedEngine([answer or WORDS], adapters=["astraios"], token_s=token_s)


def progress(client: Client) -> list[str]:
    return [params["value"]["text"] for params in notifications_of(client, "$/progress") if params["token"] == "t"]


@async_test
async def test_an_explanation_runs_to_the_token_of_the_client_and_is_whole_in_the_result() -> None:
    used = engine(token_s=0.05)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        result = await execute_command(client, "starcoder.explain", {**WHERE, "token": "t"})
        assert result == {"text": SAID, "isComplete": True}
        sent = progress(client)
        assert sent[-1] == SAID
        assert len(sent) > 1
        assert all("command:" not in text and "Quest" not in text for text in sent)
        assert used.requests[0].priority is Priority.EXPLANATION
        assert used.requests[0].cancel.is_set()  # the model went on; nobody listened any more
        assert not notifications_of(client, "window/showMessage")  # which would name a file


def test_without_a_token_a_private_file_is_opened_and_old_ones_go(cache: Path) -> None:
    cache.mkdir(parents=True, mode=0o755)
    old, foreign = cache / "starcoder-old.md", cache / "notes.md"
    for kept in (old, foreign):
        kept.write_text("x")
        os.utime(kept, (0, 0))
    file = Path(unquote(urlparse(asyncio.run(opened_by_explaining())).path))
    assert file.read_text(encoding="utf-8") == SAID + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not old.exists()
    assert foreign.exists()


async def opened_by_explaining() -> str:
    """The URI that the client was asked to open."""
    opened: list[str] = []

    def on_request(method: str, params: Any) -> Any:
        assert method == "window/showDocument"
        opened.append(params["uri"])
        return {"success": True}

    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.on_request = on_request
        client.open(URI, CODE)
        assert (await execute_command(client, "starcoder.explain", WHERE))["text"] == SAID
        await wait_until(lambda: bool(opened))
        assert not notifications_of(client, "window/showMessage")
    return opened[0]


@async_test
async def test_a_client_that_opens_nothing_is_told_where_the_file_is(cache: Path) -> None:
    async with initialized_client(engine(), capabilities=COMMANDS_ONLY, options=ADAPTER) as client:
        client.open(URI, CODE)
        await execute_command(client, "starcoder.explain", WHERE)
        await wait_until(lambda: bool(notifications_of(client, "window/showMessage")))
        (message,) = notifications_of(client, "window/showMessage")
        assert str(cache) in message["message"]


@async_test
async def test_a_client_that_never_answers_holds_up_nothing() -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client._receive = lambda message, old=client._receive: None if "window/show" in str(message) else old(message)  # type: ignore[method-assign, misc]
        client.open(URI, CODE)
        assert (await execute_command(client, "starcoder.explain", WHERE))["text"] == SAID
        assert await client.inline_completion(URI, 1, 4)


@async_test
async def test_typing_does_not_end_an_explanation_and_a_completion_comes_first() -> None:
    used = engine(*[f"word{i} " for i in range(40)], token_s=0.02)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        explaining = execute_command(client, "starcoder.explain", {**WHERE, "token": "t"})
        await wait_until(lambda: used.steps >= 3)
        client.change(URI, 2, {"text": CODE + "x = "})
        ghost = client.inline_completion(URI, 2, 4)
        assert (await explaining)["text"].endswith("word39")
        assert await ghost
        assert used.requests[1].priority < used.requests[0].priority


@async_test
async def test_a_newer_explanation_ends_the_older_one_with_null() -> None:
    used = engine(*SLOW, token_s=0.01)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        older = execute_command(client, "starcoder.explain", {**WHERE, "token": "t"})
        await wait_until(lambda: used.steps >= 3)
        newer = execute_command(client, "starcoder.explain", {**WHERE, "token": "u"})
        assert await older is None
        client.cancel(newer)
        with pytest.raises(ResponseFailed) as caught:
            await newer
        assert caught.value.code == -32800
        steps = used.steps
        await asyncio.sleep(0.1)
        assert used.steps <= steps + 1
        assert not client.unmatched_responses


@async_test
async def test_an_answer_that_was_cut_and_code_that_was_cut_say_so() -> None:
    options = {**ADAPTER, "actions": {"explain": {"max_new_tokens": 5}}}
    async with initialized_client(engine(*SLOW), capabilities=EDITOR, options=options) as client:
        client.open(URI, "x = 1\n" * 9000)
        result = await execute_command(
            client, "starcoder.explain", {"uri": URI, "range": lsp_range(0, 9000), "token": "t"}
        )
        assert result["isComplete"] is False
        note, _, said = result["text"].partition("\n\n")
        assert note.startswith("> Only the first ")
        assert "of 9000 lines were read" in note
        assert note.endswith("The answer is cut after 5 tokens.")
        assert said == "word0 word1 word2 word3 word4"


@async_test
async def test_a_question_of_the_user_is_asked_about_the_code() -> None:
    used = engine("Four.")
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        asked = {**WHERE, "action": "ask", "instruction": "What is {code} 2 + 2?", "token": "t"}
        assert (await execute_command(client, "starcoder.explain", asked))["text"] == "Four."
        assert used.requests[0].parts == (f"Question: What is {{code}} 2 + 2?\n{CODE.rstrip()}\n\nAnswer:",)


@async_test
async def test_an_edit_is_applied_by_the_client_and_its_own_change_does_not_undo_the_answer() -> None:
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
        result = await execute_command(client, "starcoder.act", {**WHERE, "action": "simplify", "version": 1})
        assert result["applied"] is True
        assert text == "def add(a, b):\n    return a + b\n"


@async_test
async def test_an_edit_of_a_text_that_moved_on_is_refused() -> None:
    used = engine(*SLOW, token_s=0.01)
    async with initialized_client(used, capabilities=COMMANDS_ONLY, options=ADAPTER) as client:
        client.open(URI, CODE)
        pending = execute_command(client, "starcoder.act", {**WHERE, "action": "simplify"})
        await wait_until(lambda: used.steps >= 2)
        client.change(URI, 2, {"text": CODE + "\n"})
        with pytest.raises(ResponseFailed) as caught:
            await pending
        assert caught.value.code == -32801


class Picky(ScriptedEngine):
    """Takes one adapter only."""

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        if adapter.path != "good":
            raise AdapterInvalid(f"{adapter.path} is no adapter. Name another.")
        return await super().attach(name, adapter)


@async_test
async def test_adapters_come_and_go_while_the_server_runs() -> None:
    async with initialized_client(Picky([WORDS]), capabilities=EDITOR) as client:
        client.open(URI, CODE)
        assert await execute_command(client, "starcoder.listAdapters") == []
        with pytest.raises(ResponseFailed, match=r"No adapter for 'explain'.*adapters\.NAME") as caught:
            await execute_command(client, "starcoder.explain", WHERE)
        assert caught.value.code == -32803
        with pytest.raises(ResponseFailed, match="bad is no adapter"):
            await execute_command(client, "starcoder.attachAdapter", {"name": "one", "path": "bad"})
        attached = await execute_command(
            client, "starcoder.attachAdapter", {"name": "one", "path": "good", "tasks": ["explain"]}
        )
        assert attached == {"name": "one", "method": "LORA", "memoryBytes": 0}
        (listed,) = await execute_command(client, "starcoder.listAdapters")
        assert (listed["name"], listed["source"], listed["tasks"]) == ("one", "good", ["explain"])
        assert (await execute_command(client, "starcoder.explain", {**WHERE, "token": "t"}))["text"] == SAID
        assert await execute_command(client, "starcoder.detachAdapter", {"name": "one"}) == {"name": "one"}
        assert await execute_command(client, "starcoder.listAdapters") == []
        with pytest.raises(ResponseFailed, match="No adapter one"):
            await execute_command(client, "starcoder.detachAdapter", {"name": "one"})
        with pytest.raises(ResponseFailed, match="No adapter for 'explain'"):
            await execute_command(client, "starcoder.explain", WHERE)


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("starcoder.fly", [], "The commands are: starcoder.explain"),
        ("starcoder.explain", [], "`uri` is missing; `range` is missing"),
        ("starcoder.explain", [5], "argument"),
        ("starcoder.explain", [WHERE, WHERE], "one argument"),
        ("starcoder.explain", [{**WHERE, "token": 1.5}], "token"),
        ("starcoder.attachAdapter", [{"name": "a.b", "path": "x"}], "`name`"),
        ("starcoder.attachAdapter", [{"name": "a"}], "`path` is missing"),
        ("starcoder.attachAdapter", [{"name": "a", "path": "x", "task": []}], "`task` is not known"),
        ("starcoder.detachAdapter", [{}], "`name` is missing"),
    ],
)
@async_test
async def test_bad_arguments_are_named(command: str, arguments: list[Any], said: str) -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed) as caught:
            await execute_command(client, command, *arguments)
        assert caught.value.code == -32602
        assert said in caught.value.message


@pytest.mark.parametrize(
    ("command", "asked", "said"),
    [
        ("starcoder.explain", {"action": "simplify"}, "run starcoder.act"),
        ("starcoder.act", {"action": "explain"}, "run starcoder.explain"),
        ("starcoder.explain", {"action": "ask"}, "instruction"),
        ("starcoder.explain", {"uri": "file:///none"}, "not open"),
    ],
)
@async_test
async def test_what_cannot_be_done_is_one_sentence(command: str, asked: dict[str, Any], said: str) -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed) as caught:
            await execute_command(client, command, {**WHERE, **asked})
        assert caught.value.code == -32803
        assert said in caught.value.message


@async_test
async def test_an_editor_that_cannot_apply_edits_is_told_before_the_model_is_asked() -> None:
    used = engine()
    async with initialized_client(used, capabilities=INLINE_COMPLETION, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed, match="apply edits"):
            await execute_command(client, "starcoder.act", {**WHERE, "action": "simplify"})
        assert not used.requests


@async_test
async def test_an_empty_answer_is_a_sentence() -> None:
    async with initialized_client(engine(" \n"), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        begin = time.monotonic()
        with pytest.raises(ResponseFailed, match="answer is empty"):
            await execute_command(client, "starcoder.explain", WHERE)
        assert time.monotonic() - begin < 2
