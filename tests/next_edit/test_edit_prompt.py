"""Golden prompts of next edits, by format."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edited_text import URI, EditedText
from fakes import ScriptedEngine
from starcoder_ls.edit_formats import EditFormat
from starcoder_ls.generation import ChatFormat, Phase, Priority, Request, SpecialToken
from starcoder_ls.next_edit.edit_prompt import EditPrompt, build_prompt
from starcoder_ls.next_edit.edit_route import EditRoute
from starcoder_ls.next_edit.edit_window import find_window

TOKENS = frozenset(
    {"<|s|>", "<|e|>", "<commit_before>", "<commit_msg>", "<commit_after>", "<issue_start>", "<issue_comment>"}
)
CODE = "def f(n):\n    a(n)\n    return n"
CHAT = ChatFormat("<|s|>system\n", "<|e|>\n<|s|>user\n", "<|e|>\n<|s|>assistant\n", ("<|e|>",))


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine(load_steps=1)
    scripted.set_status(phase=Phase.READY, special_tokens=TOKENS, chat=CHAT)
    yield scripted
    scripted.close()


def build(
    engine: ScriptedEngine, edit_format: EditFormat, text: str = CODE, adapter: str | None = None
) -> EditPrompt | None:
    document = EditedText(text)
    document.replace("f(n)", "f(k)")
    window = find_window(document.text, document.cursor, document.history.recent())
    assert window is not None
    route = EditRoute(edit_format, adapter)
    return build_prompt(engine, route, window, "Rename n to k", "python", URI, "client 1")


def request_of(prompt: EditPrompt | None) -> Request:
    assert prompt is not None
    return prompt.request


def test_commit_begins_with_the_lines_up_to_the_newest_edit(engine: ScriptedEngine) -> None:
    before, message, after = map(SpecialToken, ("<commit_before>", "<commit_msg>", "<commit_after>"))
    prompt = build(engine, "commit")
    request = request_of(prompt)
    assert request.parts == (before, CODE, message, "Rename n to k", after, "def f(k):\n")
    assert request.prediction == "    a(n)\n    return n"
    assert prompt is not None
    assert prompt.closing == ""
    assert request.priority is Priority.NEXT_EDIT
    assert (request.client, request.document) == ("client 1", f"next edit of {URI}")


def test_issue_has_the_code_in_a_fence(engine: ScriptedEngine) -> None:
    prompt = build(engine, "issue")
    request = request_of(prompt)
    assert request.parts[1] == f"username_0: Rename n to k\n\n```{CODE}```\nUpvotes: 100"
    assert request.parts[3] == "username_1: Sure, here is the fixed code.\n\n```def f(k):\n"
    assert prompt is not None
    assert prompt.closing == "\n```"
    assert request.prediction.endswith("return n\n```")


def test_adapter_of_a_base_without_tokens_for_issues_has_blank_lines(engine: ScriptedEngine) -> None:
    engine.set_status(special_tokens=frozenset({"<|s|>"}))
    request = request_of(build(engine, "issue", adapter="edits"))
    question = f"username_0: Rename n to k\n\n```{CODE}```\nUpvotes: 100"
    assert request.parts == (f"{question}\n\nusername_1: Sure, here is the fixed code.\n\n```def f(k):\n",)
    assert (request.adapter, request.end_tokens) == ("edits", ())


def test_chat_template_continues_the_answer_in_its_code_block(engine: ScriptedEngine) -> None:
    start, end = SpecialToken("<|s|>"), SpecialToken("<|e|>")
    request = request_of(build(engine, "chat"))
    assert request.parts[0] == start
    assert request.parts[5:] == (
        f"user\nRename n to k, wherever it is necessary in this code:\n\n```python\n{CODE}\n```",
        end,
        "\n",
        start,
        "assistant\n```python\ndef f(k):\n",
    )
    assert set(request.end_tokens) == {start, end}


def test_template_without_a_system_message_has_it_in_the_question(engine: ScriptedEngine) -> None:
    engine.set_status(chat=ChatFormat(None, "<|s|>", "<|e|>", ("<|e|>",)))
    parts = request_of(build(engine, "chat")).parts
    assert str(parts[1]).startswith("You edit source code.")


@pytest.mark.parametrize(("edit_format", "is_built"), [("commit", True), ("issue", False), ("chat", False)])
def test_code_with_fences_is_left_out_where_a_fence_ends_the_answer(
    engine: ScriptedEngine, edit_format: EditFormat, is_built: bool
) -> None:
    assert (build(engine, edit_format, CODE + "\n# ```") is not None) is is_built


def test_window_that_does_not_fit_is_left_out(engine: ScriptedEngine) -> None:
    engine.set_status(context_tokens=240)
    assert build(engine, "commit") is None
    engine.set_status(context_tokens=300)
    assert build(engine, "commit") is not None
