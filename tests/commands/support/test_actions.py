from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from starcoder_ls.commands.support import actions
from starcoder_ls.errors import ActionUnavailable
from starcoder_ls.generation import Phase
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import validate

CODE = "def f(a):\n    return a\n"
TARGET = Target(CODE, 0, len(CODE) - 1, "python", is_function=True)
SETTINGS = validate({"adapters": {"one": {"path": "x"}}}, "a test")


@contextmanager
def ready_engine(*script: str) -> Iterator[ScriptedEngine]:
    engine, is_ready = ScriptedEngine([script], adapters=["one"]), threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    is_ready.wait()
    try:
        yield engine
    finally:
        engine.close()


def print_answer(capsys: pytest.CaptureFixture[str], *script: str, is_json: bool = False) -> tuple[str, str]:
    """What is printed to standard output and standard error."""
    with ready_engine(*script) as engine:
        prepared = perform_action.prepare_action(SETTINGS, engine, "explain", TARGET)
        assert asyncio.run(actions.print_answer(engine, prepared, is_json)) == 0
    out, err = capsys.readouterr()
    return out, err


def test_answer_is_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = print_answer(capsys, " It \x1b[31m", "adds\x1b]0;title\x07.", "\u202e", "\nQuestion: and")
    assert out == "It [31madds]0;title.\n"


def test_answer_whose_beginning_changes_is_printed_again(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = print_answer(capsys, "def f(a):\n    return a", "\nIt returns.")
    assert out.endswith("\nIt returns.\n")


def test_repetition_is_reported_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = print_answer(capsys, "It. ", *["And so on. "] * 30)
    assert "And so on. " in out
    assert "repeat itself" in err


def test_block_of_code_is_printed_once_and_closed(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = print_answer(capsys, "It:\n\n", "```python\n", "def f", "(): ...\n")
    assert out == "It:\n\n```python\ndef f(): ...\n```\n"


def test_json_answer_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = print_answer(capsys, " It ", "adds.", is_json=True)
    answer = json.loads(out)
    assert (answer["text"], answer["adapter"], answer["lines"]) == ("It adds.", "one", [1, 2])
    assert answer["stop_reason"] == "end_of_text"
    assert answer["timings"]["prompt_tokens"] == 9
    assert not err


def test_adapter_is_selected_from_the_settings_alone() -> None:
    assert actions.select_route(SETTINGS, "explain", TARGET, None).adapter == "one"
    assert actions.select_route(SETTINGS, "explain", TARGET, "one").adapter == "one"
    with pytest.raises(ActionUnavailable, match=r"There are: explain, one\. Add `\[adapters\.two\]`"):
        actions.select_route(SETTINGS, "explain", TARGET, "two")
    with pytest.raises(ActionUnavailable, match=r"\[adapters\.NAME\]"):
        actions.select_route(SCRIPTED_SETTINGS, "explain", TARGET, None)
    with pytest.raises(ActionUnavailable, match="There are: ask"):
        actions.select_route(SETTINGS, "fly", TARGET, None)


def test_adapter_that_is_not_loaded_is_an_error() -> None:
    with ready_engine() as engine, pytest.raises(ActionUnavailable, match="'two' could not be loaded"):
        actions.require_loaded(engine, perform_action.ActionRoute("two", "{question}"))
