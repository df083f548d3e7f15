"""Recorded answers of a chat-tuned model of 0.5B parameters, and what becomes of each: an edit, a refusal or a text.

tests/data/chat_answers has twelve functions in four languages (cases.json and the files it names), the answers
(answers.json) and the reviewed results (results.txt). An edit may be wrong in what it does, as a small model is. It
never leaves its target and never breaks a file.

`PYTHONPATH=tests python tests/rewrite/golden/test_recorded_answers.py` writes results.txt again.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import ScriptedEngine
from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.generation import ChatFormat, Phase
from starcoder_ls.rewrite import edits, perform_action
from starcoder_ls.rewrite.answer_parsing import find_fences
from starcoder_ls.rewrite.safe_markdown import sanitize_markdown
from starcoder_ls.rewrite.target import Target, find_target
from starcoder_ls.settings import Settings
from starcoder_ls.syntax.items import read_items

DATA = Path(__file__).parents[2] / "data" / "chat_answers"
CASES = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
ANSWERS = json.loads((DATA / "answers.json").read_text(encoding="utf-8"))
EDITING = ("document", "simplify", "fix")
SETTINGS = Settings.model_validate({"model": {"tasks": ["completion", "instruct"]}})
FUNCTIONS = {function["name"]: function for function in CASES["functions"]}


def target_of(function: dict[str, Any], action: str) -> Target:
    """The function with the cursor on its first line; for `fix` with its bug and what a compiler says about it."""
    text = (DATA / function["file"]).read_text(encoding="utf-8")
    start = text.index(function["line"])
    if action == "fix":
        text = text[:start] + text[start:].replace(*function["bug"], 1)
    offset = start + len(function["line"])
    target = find_target(text, offset, offset, function["language"], function["file"])
    assert target is not None
    return replace(target, diagnostics=(function["diagnostic"],) if action == "fix" else ())


def outcome(engine: ScriptedEngine, key: str) -> tuple[Target, str]:
    """The target, and the document after the recorded answer or the message that refuses it."""
    name, action = key.split("/")
    target = target_of(FUNCTIONS[name], action)
    engine.scripts = [[ANSWERS[key]["text"]]]
    prepared = perform_action.prepare_action(SETTINGS, engine, action, target)
    try:
        changes = asyncio.run(perform_action.compute_changes(engine, prepared))
    except AnswerUnusable as error:
        return target, f"REFUSED {error}"
    return target, edits.apply_changes(target.text, changes)


def describe(target: Target, result: str) -> str:
    """A refusal, or the changed lines."""
    if result.startswith("REFUSED"):
        return result
    lines = difflib.unified_diff(target.text.split("\n"), result.split("\n"), n=1, lineterm="")
    return "\n".join(line for line in list(lines)[2:] if not line.startswith("@@"))


def shown_answer(engine: ScriptedEngine, key: str) -> perform_action.Answer:
    """The last of the answers that an editor shows, of a model that is stopped where the recorded one was."""
    name, action = key.split("/")
    prepared = perform_action.prepare_action(SETTINGS, engine, action, target_of(FUNCTIONS[name], action))
    tokens = list(ANSWERS[key]["text"])
    if ANSWERS[key]["is_cut"]:
        before_limit = prepared.action.max_new_tokens - 1
        tokens = [*tokens[:before_limit], "".join(tokens[before_limit:]), "not shown"]
    engine.scripts = [tokens if ANSWERS[key]["is_cut"] else ["".join(tokens)]]

    async def last_answer() -> perform_action.Answer:
        return [answer async for answer in perform_action.stream_answer(engine, prepared.prompt)][-1]

    return asyncio.run(last_answer())


def describe_shown(key: str, answer: perform_action.Answer) -> str:
    """The note, and what differs from the recorded text."""
    lines = difflib.unified_diff(ANSWERS[key]["text"].split("\n"), answer.text.split("\n"), n=1, lineterm="")
    changed = [line for line in list(lines)[2:] if not line.startswith("@@")]
    return "\n".join([f"NOTE {answer.note}"] * bool(answer.note) + (changed or ["SHOWN AS IT IS"]))


def read_results() -> dict[str, str]:
    sections = ("\n" + (DATA / "results.txt").read_text(encoding="utf-8")).split("\n=== ")[1:]
    return {head: body.rstrip("\n") for head, _, body in (section.partition("\n") for section in sections)}


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    scripted = make_engine()
    yield scripted
    scripted.close()


def make_engine() -> ScriptedEngine:
    scripted = ScriptedEngine(load_steps=1)
    scripted.start()
    scripted.set_status(phase=Phase.READY, chat=ChatFormat("S", "Q", "A"))
    return scripted


@pytest.mark.parametrize("key", [key for key in ANSWERS if key.split("/")[1] in EDITING])
def test_each_answer_is_an_edit_of_its_target_or_a_refusal(engine: ScriptedEngine, key: str) -> None:
    target, result = outcome(engine, key)
    assert describe(target, result) == read_results()[key]
    if not result.startswith("REFUSED"):
        assert result.startswith(target.text[: target.start])
        assert result.endswith(target.text[target.end :])
        assert read_items(result, FUNCTIONS[key.split("/")[0]]["language"]) is not None


@pytest.mark.parametrize("key", [key for key in ANSWERS if key.split("/")[1] not in EDITING])
def test_each_shown_text_is_the_answer_with_its_blocks_repaired(engine: ScriptedEngine, key: str) -> None:
    answer = shown_answer(engine, key)
    assert describe_shown(key, answer) == read_results()[key]
    assert answer.is_cut == ANSWERS[key]["is_cut"]
    assert all(fence.is_closed for fence in find_fences(answer.text))
    assert key.split("/")[0] in sanitize_markdown(answer.text).replace("\\_", "_") or len(answer.text) > 80


def test_every_action_was_recorded_for_every_function() -> None:
    assert set(ANSWERS) == {f"{name}/{action}" for name in FUNCTIONS for action in CASES["actions"]}


if __name__ == "__main__":
    scripted = make_engine()
    texts = [key for key in ANSWERS if key.split("/")[1] not in EDITING]
    found = [f"=== {key}\n{describe(*outcome(scripted, key))}\n" for key in ANSWERS if key not in texts]
    found += [f"=== {key}\n{describe_shown(key, shown_answer(scripted, key))}\n" for key in texts]
    (DATA / "results.txt").write_text("\n".join(found), encoding="utf-8")
    scripted.close()
