from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.feedback_store import schema
from starcoder_ls.generation import FinishReason, Timings
from starcoder_ls.lsp.client import Client, ResponseFailed
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session import feedback
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.feedback import suggestion_key
from starcoder_ls.settings import Feedback, InlineCompletion


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    return tmp_path / "feedback.sqlite3"


def stored_bytes(state: Path) -> bytes:
    return state.read_bytes()


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


class Timers:
    """Timers that run when ``advance`` reaches them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.handles: list[tuple[float, asyncio.TimerHandle]] = []

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(0.0, callback, (), asyncio.get_running_loop())
        self.handles.append((self.now_s + delay_s, handle))
        return handle

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        due = [handle for due_s, handle in self.handles if due_s <= self.now_s]
        self.handles = [timer for timer in self.handles if timer[0] > self.now_s]
        for handle in due:
            if not handle.cancelled():
                handle._run()


class Journal:
    """Feedback on suggestions at the end of the first line of a document."""

    def __init__(self, text: str = "x = \n", keep: Any = "text", show_from: float = 0.0) -> None:
        self.timers, self.documents = Timers(), Documents()
        self.version = 1
        self.documents.open(URI, "python", 1, text)
        sections = {"feedback": Feedback(keep=keep), "inline_completion": InlineCompletion(show_from=show_from)}
        settings = SCRIPTED_SETTINGS.model_copy(update=sections)
        self.settings = ClientSettings(settings, lambda _: None)
        self.recorder = feedback.Feedback(
            self.settings,
            self.documents,
            lambda: "scripted",
            lambda _: None,
            self.timers.call_later,
        )

    def offer(self, *texts: str) -> list[str]:
        """Offer ``texts`` as the result of one request, and return their keys."""
        text = self.documents.get(URI).text
        offset = text.index("\n")
        suggestions = [Suggestion(text, offset, offset, FinishReason.STOP_RULE, 9, 3, Timings()) for text in texts]
        found = self.recorder.offer(Cursor(text, offset, "python", "/project/app.py", URI), suggestions) or []
        return [key for key in found if key is not None]

    def show(self, *texts: str) -> list[str]:
        """Offer and show ``texts``, and return their keys."""
        keys = self.offer(*texts)
        for key in keys:
            self.recorder.on_shown(key)
        return keys

    def keep(self, value: Any) -> None:
        """Change the setting."""
        self.settings.apply({"feedback": {"keep": value}}, "a test")
        self.recorder.on_settings_changed()

    def close(self) -> None:
        """End the feedback and wait until all rows are written."""
        self.recorder.close()
        if (store := self.recorder._opened_store) is not None:
            store.close()

    def type(self, text: str, column: int, line: int = 0, deleted: int = 0) -> None:
        self.version += 1
        edit = Edit(text, Position(line, column), Position(line, column + deleted))
        self.documents.change(URI, self.version, [edit])


@pytest.mark.parametrize(("is_open", "percent"), [(True, 50), (False, None)], ids=["open", "closed since"])
@async_test
async def test_accepted_suggestion_is_compared_with_the_document_later(
    state: Path, is_open: bool, percent: int | None
) -> None:
    journal = Journal(keep="outcomes")
    (key,) = journal.show("one(two)")
    journal.timers.advance(29)
    journal.type("one(two)", 4)
    journal.recorder.on_accepted(key)
    journal.timers.advance(29)
    journal.type("", 8, deleted=4)
    if not is_open:
        journal.recorder.on_document_closed(URI)
    journal.timers.advance(1)
    journal.close()
    assert stored_rows(state) == [("accepted", 8, percent)]
    assert stored_rows(state, "match_percent, text_10s, text_30s, prefix") == [(percent, None, None, None)]


@async_test
async def test_text_that_was_written_instead_is_recorded_twice(state: Path) -> None:
    journal = Journal("x = \nend\n")
    journal.show("one(two)")
    journal.type("thr", 4)
    journal.type("import os\n", 0)
    journal.timers.advance(10)
    journal.type("ee()", 7, line=1)
    journal.type("\ny = 1", 11, line=1)
    journal.timers.advance(20)
    journal.close()
    columns = "outcome, prefix, suggestion, suffix, text_10s, text_30s, match_percent"
    assert stored_rows(state, columns) == [("closed", "x = ", "one(two)", "\nend\n", "thr", "three()\ny = 1", 0)]


@async_test
async def test_edit_at_the_border_leaves_the_written_text_unknown(state: Path) -> None:
    journal = Journal()
    journal.show("one(two)")
    journal.type("", 2, deleted=2)
    journal.type(" = one(two)", 2)
    journal.timers.advance(30)
    journal.close()
    assert stored_rows(state, "text_30s, match_percent") == [(None, 100)]


@async_test
async def test_closed_document_is_no_rejection_of_what_was_shown(state: Path) -> None:
    journal = Journal()
    journal.show("one()")
    journal.show("two()")
    journal.recorder.on_document_closed(URI)
    journal.show("three()")
    journal.close()
    assert stored_rows(state, "suggestion, outcome") == [
        ("one()", "rejected"), ("two()", "closed"), ("three()", "closed")
    ]  # fmt: skip


@async_test
async def test_shown_candidates_of_one_request_are_recorded_with_their_rank(state: Path) -> None:
    journal = Journal()
    first, second = journal.show("one()", "two()")
    journal.recorder.on_accepted(second)
    journal.show("next()")
    journal.close()
    rows = stored_rows(state, "id, candidate, outcome, request")
    assert [row[:3] for row in rows] == [(first, 0, "rejected"), (second, 1, "accepted"), (rows[2][0], 0, "closed")]
    assert rows[0][3] == rows[1][3] != rows[2][3]


@async_test
async def test_row_has_features_without_text_and_a_hash_instead_of_a_path(state: Path) -> None:
    journal = Journal(keep="outcomes")
    journal.show("one(two)")
    journal.close()
    ((features, path_hash),) = stored_rows(state, "features, path_hash")
    assert json.loads(features)["chars"] == 8
    assert len(path_hash) == 64
    assert b"app.py" not in stored_bytes(state)
    assert b"one(two)" not in stored_bytes(state)


@async_test
async def test_surrounding_text_is_as_long_as_a_prompt_may_be(state: Path) -> None:
    journal = Journal("x = \n" + "y = 1\n" * 3_000)
    journal.show("one()")
    journal.close()
    ((suffix,),) = stored_rows(state, "suffix")
    assert len(suffix) == 4 * SCRIPTED_SETTINGS.inline_completion.prompt_tokens


@async_test
async def test_secret_that_was_written_instead_is_masked(state: Path) -> None:
    journal = Journal("password = \n")
    journal.show("None")
    journal.type('"hunter2-correct-horse-9"', 11)
    journal.timers.advance(30)
    journal.close()
    ((text,),) = stored_rows(state, "text_30s")
    assert len(text) == 25
    assert "hunter2" not in text
    assert b"hunter2" not in stored_bytes(state)


@async_test
async def test_document_that_was_excluded_since_is_not_read(state: Path) -> None:
    journal = Journal()
    journal.show("one()")
    journal.type("private", 4)
    journal.documents.exclusion = lambda _uri, _path: "ignored"
    journal.timers.advance(30)
    journal.close()
    assert stored_rows(state, "text_10s, text_30s, match_percent") == [(None, None, None)]


@async_test
async def test_suggestion_after_a_menu_entry_has_no_written_text(state: Path) -> None:
    journal = Journal("x = app\n")
    suggestion = Suggestion("(x)", 10, 10, FinishReason.STOP_RULE, 9, 3, Timings())
    (key,) = journal.recorder.offer(Cursor("x = append\n", 10, "python", document=URI), [suggestion]) or [None]
    assert key is not None
    journal.type("append(x)", 4, deleted=3)
    journal.recorder.on_accepted(key)
    journal.timers.advance(30)
    journal.close()
    assert stored_rows(state, "outcome, kept_percent, text_30s") == [("accepted", 100, None)]


def write_outcomes(state: Path) -> None:
    """400 outcomes: what is suggested with a confidence of 0.9 was accepted, with 0.1 rejected."""
    database = sqlite3.connect(state)
    schema.prepare(database)
    with database:
        for number in range(400):
            outcome, confidence = ("accepted", 0.9) if number % 3 == 0 else ("rejected", 0.1)
            features = json.dumps({"confidence": confidence, "chars": 5, "tokens": 2, "recent": 0.3})
            database.execute(
                "insert into suggestions (id, shown_at, outcome, language, model, source, chars, lines, features)"
                " values (?, ?, ?, 'python', 'scripted', 'model', 5, 1, ?)",
                (f"old {number}", time.time() - 400 + number, outcome, features),
            )
    database.close()


def offer(journal: Journal, text: str, confidence: float, typed: str = "", is_invoked: bool = False) -> bool:
    """Whether ``text``, of which ``typed`` has been typed, is shown at the end of the line."""
    document = journal.documents.get(URI).text
    start = document.index("\n")
    suggestion = Suggestion(
        text, start, start, FinishReason.STOP_RULE, 9, 2, Timings(), typed_chars=len(typed), confidence=confidence
    )
    return journal.recorder.offer(Cursor(document, start, "python", document=URI), [suggestion], is_invoked) is not None


async def journal_with_outcomes(state: Path) -> Journal:
    """A journal whose filter has been fitted."""
    write_outcomes(state)
    journal = Journal(show_from=0.25)
    assert offer(journal, "one()", 0.1)  # it starts the fit
    await wait_until(lambda: journal.recorder._show_filter.probability({}) is not None)
    assert not offer(journal, "two()", 0.1)
    return journal


@async_test
async def test_suggestion_that_will_hardly_be_kept_is_hidden(state: Path) -> None:
    journal = await journal_with_outcomes(state)
    assert offer(journal, "three()", 0.9)
    assert offer(journal, "four()", 0.1, is_invoked=True)
    assert not offer(journal, "five()", 0.1)
    journal.type("five()", 4)
    journal.timers.advance(30)
    journal.close()
    hidden = stored_rows(state, "suggestion, outcome, match_percent, round(probability, 1)")
    assert ("five()", "hidden", 100, 0.0) in hidden
    assert ("two()", "hidden", 0, 0.0) in hidden


@async_test
async def test_hidden_suggestion_that_is_typed_into_becomes_visible(state: Path) -> None:
    journal = await journal_with_outcomes(state)
    assert not offer(journal, "five(six)", 0.1)
    journal.type("f", 4)
    assert not offer(journal, "ive(six)", 0.1)
    journal.type("i", 5)
    assert offer(journal, "ve(six)", 0.9)
    journal.type("v", 6)
    assert offer(journal, "e(six)", 0.1)  # what is on the screen stays there
    journal.close()
    assert [text for text, outcome in stored_rows(state, "suggestion, outcome") if outcome == "hidden"] == [
        "two()", "five(six)"
    ]  # fmt: skip


@async_test
async def test_everything_is_shown_before_there_are_300_outcomes(state: Path) -> None:
    journal = Journal(show_from=0.99)
    for number in range(5):
        assert offer(journal, f"x{number}()", 0.01)
    journal.close()
    assert stored_rows(state, "outcome") == []


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


@pytest.mark.parametrize("was_shown", [True, False])
@async_test
async def test_offer_from_before_feedback_was_disabled_leaves_no_row(state: Path, was_shown: bool) -> None:
    journal = Journal()
    (key,) = journal.show("one()") if was_shown else journal.offer("one()")
    journal.keep("nothing")
    journal.recorder.on_partly_accepted(key, 2)
    journal.recorder.on_accepted(key)
    journal.timers.advance(30)
    journal.recorder.on_document_closed(URI)
    journal.close()
    assert stored_rows(state, "outcome, match_percent") == [("shown", None)] * was_shown


@async_test
async def test_offer_from_before_texts_were_disabled_is_recorded_without(state: Path) -> None:
    journal = Journal(keep="text")
    (key,) = journal.offer("one()")
    journal.keep("outcomes")
    journal.recorder.on_accepted(key)
    journal.close()
    assert stored_rows(state, "outcome, prefix, suffix, suggestion") == [("accepted", None, None, None)]


@async_test
async def test_client_that_disables_feedback_leaves_no_row(state: Path) -> None:
    async with initialized_client(ScriptedEngine([["one()", "\n"]])) as client:
        client.open(URI, "x = \n")
        for keep in ("nothing", "outcomes"):
            shown = await request_item(client)
            client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": {"feedback": {"keep": keep}}}})
            client.notify("textDocument/didShowCompletion", {"item": shown})
        replace_text(client, "y += \n")
        client.notify("textDocument/didShowCompletion", {"item": await request_item(client, 5)})
        await wait_until(lambda: len(stored_rows(state)) > 0)
        assert stored_rows(state) == [("shown", 0, None)]


@async_test
async def test_end_of_a_session_does_not_wait_for_a_locked_file(state: Path) -> None:
    journal = Journal()
    journal.show("one()")
    await wait_until(lambda: len(stored_rows(state)) == 1)
    with contextlib.closing(sqlite3.connect(state, isolation_level=None)) as other:
        other.execute("begin exclusive")
        journal.recorder.close()  # if it waited, the lock would outlast it and the outcome be lost
    journal.close()
    assert stored_rows(state, "outcome") == [("closed",)]


@async_test
async def test_unknown_and_malformed_feedback_is_ignored(state: Path) -> None:
    async with initialized_client(ScriptedEngine()) as client:
        for params in (None, {}, {"item": 3}, {"item": {"command": {"arguments": [{"id": "unknown"}]}}}):
            client.notify("textDocument/didShowCompletion", params)
            client.notify("textDocument/didPartiallyAcceptCompletion", params)
        with pytest.raises(ResponseFailed, match="`id` is missing"):
            await client.request("workspace/executeCommand", {"command": feedback.ACCEPTED, "arguments": [{}]})
    assert stored_rows(state) == []
