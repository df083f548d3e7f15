from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from starcoder_ls.commands import act
from starcoder_ls.commands.support import line_range
from starcoder_ls.errors import ActionUnavailable
from starcoder_ls.rewrite import perform_action as rewriting
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import check

CODE = "def f(a):\n    return a\n"
TARGET = Target(CODE, 0, len(CODE) - 1, "python", is_function=True)
SETTINGS = check({"adapters": {"one": {"path": "x"}}}, "a test")


@contextmanager
def engine(*reply: str) -> Iterator[ScriptedEngine]:
    made = ScriptedEngine([reply], adapters=["one"])
    made.start()
    try:
        while made.status().phase != "ready":
            pass
        yield made
    finally:
        made.close()


def told(capsys: pytest.CaptureFixture[str], *reply: str, is_json: bool = False) -> tuple[str, str]:
    with engine(*reply) as made:
        prepared = rewriting.prepare_action(SETTINGS, made, "explain", TARGET)
        assert asyncio.run(act.tell(made, prepared, is_json)) == 0
    out, err = capsys.readouterr()
    return out, err


def test_text_streams_without_what_could_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = told(capsys, " It \x1b[31m", "adds\x1b]0;title\x07.", "\u202e", "\nQuestion: and")
    assert out == "It [31madds]0;title.\n"


def test_text_that_begins_elsewhere_after_all_is_said_whole(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = told(capsys, "def f(a):\n    return a", "\nIt returns.")
    assert out.endswith("\nIt returns.\n")


def test_an_answer_in_circles_is_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = told(capsys, "It. ", *["And so on. "] * 30)
    assert "And so on. " in out
    assert "repeat itself" in err


def test_as_json_it_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = told(capsys, " It ", "adds.", is_json=True)
    said: dict[str, Any] = json.loads(out)
    assert (said["text"], said["adapter"], said["lines"], said["stop_reason"]) == (
        "It adds.",
        "one",
        [1, 2],
        "end_of_text",
    )
    assert said["timings"]["prompt_tokens"] == 9
    assert not err


def test_who_will_do_it_is_told_before_anything_is_loaded() -> None:
    assert act.expected(SETTINGS, "explain", TARGET, None).adapter == "one"
    assert act.expected(SETTINGS, "explain", TARGET, "one").adapter == "one"
    with pytest.raises(ActionUnavailable, match=r"There are: explain, one\. Add `\[adapters\.two\]`"):
        act.expected(SETTINGS, "explain", TARGET, "two")
    with pytest.raises(ActionUnavailable, match=r"\[adapters\.NAME\]"):
        act.expected(SCRIPTED_SETTINGS, "explain", TARGET, None)
    with pytest.raises(ActionUnavailable, match="There are: ask"):
        act.expected(SETTINGS, "fly", TARGET, None)


def test_an_adapter_that_did_not_load_is_named() -> None:
    with engine() as made, pytest.raises(ActionUnavailable, match="'two' could not be loaded"):
        act.confirmed(made, rewriting.ActionRoute("two", "{question}"))


def test_the_file_is_shown_as_a_diff_or_written(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"a\r\nb\r\n")
    read = line_range.source(str(file))
    act.write_or_print_diff(read, "a\r\nc\r\n", is_written=False)
    assert capfdbinary.readouterr().out.endswith(b"\n a\r\n-b\r\n+c\r\n")
    assert file.read_bytes() == b"a\r\nb\r\n"
    act.write_or_print_diff(read, "a\r\nc\r\n", is_written=True)
    assert file.read_bytes() == b"a\r\nc\r\n"
