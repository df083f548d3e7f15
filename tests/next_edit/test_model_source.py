"""Golden answers: what the model writes in place of a window, and the edit that is proposed for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from edited_text import EditedText
from fakes import ScriptedEngine
from starcoder_ls.generation import Capabilities, Phase
from starcoder_ls.next_edit.edit_route import EditRoute
from starcoder_ls.next_edit.model_source import find_model_edit, keeps_syntax, prepare_edit
from starcoder_ls.next_edit.token_changes import Replacement

COMMIT = frozenset({"<commit_before>", "<commit_msg>", "<commit_after>", "<filename>", "<reponame>"})
CODE = """def load(path, encoding):
    with open(path) as file:
        return file.read()

def save(path, text):
    with open(path, "w") as file:
        file.write(text)

def copy(source, target):
    text = load(source)
    save(target, text)
"""


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine(load_steps=1)
    scripted.set_status(phase=Phase.READY, special_tokens=COMMIT)
    scripted.start()
    yield scripted
    scripted.close()


def pieces(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def edited() -> EditedText:
    """``CODE`` after an argument was given to ``open``."""
    document = EditedText(CODE)
    document.replace("open(path) ", "open(path, encoding=encoding) ")
    return document


def rest_of(document: EditedText) -> str:
    """The lines that the model writes: all behind the newest edit."""
    return document.text[document.text.index("\n", document.cursor) + 1 :].rstrip("\n")


def propose(engine: ScriptedEngine, document: EditedText, written: str) -> Replacement | None:
    engine.scripts = [pieces(written)]
    request = prepare_edit(
        engine, EditRoute("commit"), document.open_text(), document.cursor, document.history.recent()
    )
    assert request is not None
    found = asyncio.run(find_model_edit(engine, request))
    return None if found is None else found.replacement


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('open(path, "w")', 'open(path, "w", encoding=encoding)'),
        ("load(source)", "load(source, None)"),
        ("def save(path, text):", "def save(path, text, encoding):"),
        ("        file.write(text)\n", "        file.write(text)\n        file.flush()\n"),
        ("        file.write(text)\n", ""),
    ],
)
def test_first_difference_of_the_answer_is_proposed(engine: ScriptedEngine, old: str, new: str) -> None:
    document = edited()
    found = propose(engine, document, rest_of(document).replace(old, new))
    assert found is not None
    start = document.text.index(old)
    assert start <= found.start <= found.end <= start + len(old) + 1
    document.apply(found)
    assert document.text.rstrip("\n") == edited().text.replace(old, new).rstrip("\n")
    prompt = engine.all_requests[0].parts
    assert prompt[1] == CODE.rstrip("\n")
    assert prompt[3] == "Add encoding=encoding"
    assert str(prompt[5]).endswith("open(path, encoding=encoding) as file:\n")


def test_generation_ends_two_lines_after_the_change(engine: ScriptedEngine) -> None:
    document = edited()
    engine.token_s = 0.02  # so that the cancellation, which comes from another thread, is in time
    propose(engine, document, rest_of(document).replace('"w")', '"w", encoding=encoding)'))
    until_change = rest_of(document).index("def copy")
    assert engine.steps * 3 <= until_change + 80
    assert engine.all_requests[0].cancel.is_set()


@pytest.mark.parametrize("written", ["", "unrelated\nlines\n" * 20, "        return file.read()"])
def test_useless_answer_gives_nothing(engine: ScriptedEngine, written: str) -> None:
    assert propose(engine, edited(), written) is None


def test_unchanged_answer_gives_nothing(engine: ScriptedEngine) -> None:
    document = edited()
    assert propose(engine, document, rest_of(document)) is None


def test_earlier_edit_below_is_never_reverted(engine: ScriptedEngine) -> None:
    document = EditedText(CODE)
    document.replace("save(target, text)", "save(target, text.strip())")
    document.cursor = 0
    document.replace("open(path) ", "open(path, encoding=encoding) ")
    reverted = rest_of(document).replace("text.strip()", "text")
    assert "text.strip()" in rest_of(document)
    assert propose(engine, document, reverted) is None


def test_line_at_the_cursor_is_left_to_completions(engine: ScriptedEngine) -> None:
    document = edited()
    rest = rest_of(document)
    assert propose(engine, document, "        text = 1\n" + rest) is None
    document.cursor = document.text.index("save(target")
    assert propose(engine, document, rest.replace("save(target, text)", "save(target, text, None)")) is None


def test_nothing_is_prepared_without_edits_or_probabilities(engine: ScriptedEngine) -> None:
    document = edited()
    recent = document.history.recent()
    assert prepare_edit(engine, EditRoute("commit"), document.open_text(), 0, []) is None
    given = prepare_edit(engine, EditRoute("commit"), document.open_text(), 0, [], subject="Close files")
    assert given is not None
    assert given.prompt.request.parts[3] == "Close files"
    engine.set_status(capabilities=Capabilities(logprobs=False))
    assert prepare_edit(engine, EditRoute("commit"), document.open_text(), document.cursor, recent) is None


@pytest.mark.parametrize(("text", "is_kept"), [("load(source, None)", True), ("load(source", False)])
def test_edit_that_breaks_the_syntax_is_recognised(text: str, is_kept: bool) -> None:
    document = EditedText(CODE)
    start = CODE.index("load(source)")
    replacement = Replacement(start, start + len("load(source)"), "load(source)", text)
    assert keeps_syntax(document.open_text(), replacement) is is_kept
    document.text = document.text.replace("def copy(", "def copy((")
    assert keeps_syntax(document.open_text(), Replacement(start + 1, start + 1, "", "("))
