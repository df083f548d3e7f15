from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fakes import ScriptedEngine
from starcoder_ls.errors import ActionUnavailable, AnswerUnusable, PromptTooLong
from starcoder_ls.generation import ChatFormat, Phase, SpecialToken, Status
from starcoder_ls.rewrite import edits, perform_action
from starcoder_ls.rewrite.base_formats import find_base_format, write_subject
from starcoder_ls.rewrite.perform_action import PreparedAction
from starcoder_ls.rewrite.target import Target, find_target
from starcoder_ls.settings import Settings, validate

COMMIT = ("<commit_before>", "<commit_msg>", "<commit_after>")
ISSUE = ("<issue_start>", "<issue_comment>", "<issue_closed>")
STARCODER = frozenset((*COMMIT, *ISSUE, "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<filename>"))
STARCODER2 = frozenset((*ISSUE, "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<file_sep>"))
SETTINGS = validate({"model": {"name": "bigcode/starcoderbase-1b"}}, "a test")
CODE = "class A:\n    def add(a, b):\n        return a - b\n"


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine([["        return a + b\n"]], load_steps=1)
    scripted.set_status(phase=Phase.READY, special_tokens=STARCODER)
    yield scripted
    scripted.close()


def prepare(engine: ScriptedEngine, name: str, text: str = CODE, **target: Any) -> PreparedAction:
    found = find_target(text, text.index("add"), text.index("add"), "python")
    assert found is not None
    values = {"start": found.start, "end": found.end, "language": "python", "is_function": True, **target}
    return perform_action.prepare_action(SETTINGS, engine, name, Target(text, **values))


def tokens(*literals: str) -> list[SpecialToken]:
    return list(map(SpecialToken, literals))


def test_fix_in_the_format_of_commits_begins_with_the_functions_first_line(engine: ScriptedEngine) -> None:
    before, message, after = tokens(*COMMIT)
    request = prepare(engine, "fix").prompt.request
    code = "def add(a, b):\n    return a - b"
    assert request.parts == (before, code, message, "Fix bug in add", after, "def add(a, b):\n")
    assert {before, message, after} <= set(request.end_tokens)
    assert request.adapter is None


def test_fix_in_the_format_of_issues_is_that_of_the_evaluation_harness(engine: ScriptedEngine) -> None:
    engine.set_status(special_tokens=STARCODER2)
    issue, comment = tokens(*ISSUE[:2])
    code = "def add(a, b):\n    return a - b"
    question = f"username_0: Fix bug in add\n\n```{code}```\nUpvotes: 100"
    answer = "username_1: Sure, here is the fixed code.\n\n```def add(a, b):\n"
    assert prepare(engine, "fix").prompt.request.parts == (issue, question, comment, answer)


def test_rewrite_leaves_the_first_line_to_the_model(engine: ScriptedEngine) -> None:
    parts = prepare(engine, "rewrite", instruction="rename add to  plus").prompt.request.parts
    assert parts[3:] == ("Rename add to plus", SpecialToken("<commit_after>"))


def test_docstring_starts_below_the_functions_head(engine: ScriptedEngine) -> None:
    prepared = prepare(engine, "document")
    assert prepared.prompt.request.parts[3] == "Add docstring to add"
    assert prepared.prompt.request.parts[5] == 'def add(a, b):\n    """'


@pytest.mark.parametrize(
    ("name", "target", "subject"),
    [
        (
            "fix",
            {"diagnostics": ("Line 2: name 'x' is not defined", "more")},
            "Fix bug in add: name 'x' is not defined",
        ),
        ("simplify", {}, "Simplify add"),
        ("rewrite", {"instruction": "use   a\nloop"}, "Use a loop"),
        ("document", {}, "Add docstring to add"),
    ],
)
def test_subject_is_that_of_a_commit(name: str, target: dict[str, Any], subject: str) -> None:
    assert write_subject(name, "def add(a):\n    pass", Target("", 0, 0, **target)) == subject


def test_secrets_are_masked_in_code_and_subject(engine: ScriptedEngine) -> None:
    token = "gh" + "p_" + "aB3" * 12
    text = f"def add(a):\n    key = '{token}'\n    return a\n"
    parts = prepare(engine, "rewrite", text, instruction=f"use {token}").prompt.request.parts
    assert "aB3aB3" not in str(parts)
    assert str(parts).count("xxxxxxxx") >= 2


async def changed(engine: ScriptedEngine, prepared: PreparedAction) -> str:
    ready, loop = asyncio.Event(), asyncio.get_running_loop()
    engine.subscribe(lambda status: loop.call_soon_threadsafe(ready.set) if status.phase is Phase.READY else None)
    engine.start()
    try:
        await ready.wait()
        return edits.apply_changes(CODE, await perform_action.compute_changes(engine, prepared))
    finally:
        engine.close()


@pytest.mark.parametrize("special_tokens", [STARCODER, STARCODER2])
@pytest.mark.parametrize(
    ("name", "reply", "expected"),
    [
        ("fix", "    return a + b\n```\nUpvotes: 3", CODE.replace("a - b", "a + b")),
        (
            "document",
            'Add two numbers."""\n    return a',
            CODE.replace("b):\n", 'b):\n        """Add two numbers."""\n'),
        ),
    ],
)
def test_answer_becomes_a_change_of_the_function(
    special_tokens: frozenset[str], name: str, reply: str, expected: str
) -> None:
    if special_tokens is STARCODER:
        reply = reply.partition("```")[0]
    engine = ScriptedEngine([[reply]])
    engine.set_status(phase=Phase.READY, special_tokens=special_tokens)
    assert asyncio.run(changed(engine, prepare(engine, name))) == expected


def test_unchanged_answer_is_refused() -> None:
    engine = ScriptedEngine([["    return a - b\n"]])
    engine.set_status(phase=Phase.READY, special_tokens=STARCODER)
    with pytest.raises(AnswerUnusable, match="unchanged"):
        asyncio.run(changed(engine, prepare(engine, "fix")))


def test_code_that_does_not_fit_twice_is_refused(engine: ScriptedEngine) -> None:
    engine.set_status(context_tokens=64)
    with pytest.raises(PromptTooLong, match="written again"):
        prepare(engine, "fix")


def test_doc_comment_needs_an_adapter(engine: ScriptedEngine) -> None:
    code = "function add(a) {\n  return a;\n}\n"
    target = Target(code, 0, len(code) - 1, "javascript", is_function=True)
    with pytest.raises(ActionUnavailable, match="Python only"):
        perform_action.prepare_action(SETTINGS, engine, "document", target)


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("fix", Status(Phase.READY, special_tokens=STARCODER), "commit"),
        ("fix", Status(Phase.READY, special_tokens=STARCODER2), "issue"),
        ("fix", Status(Phase.READY, special_tokens=frozenset(("<fim_prefix>",))), None),
        ("explain", Status(Phase.READY, special_tokens=STARCODER), None),
        ("fix", Status(Phase.READY, special_tokens=STARCODER, chat=ChatFormat(None, "", "")), "chat"),
        ("fix", Status(Phase.READY, chat=ChatFormat(None, "", "", problem="is broken")), None),
    ],
)
def test_format_is_found_by_the_special_tokens(name: str, status: Status, expected: str | None) -> None:
    assert find_base_format(SETTINGS, name, status) == expected
    assert find_base_format(Settings(), name, status) is None  # the bundled model


def test_adapter_for_instructions_takes_precedence(engine: ScriptedEngine) -> None:
    settings = validate({**SETTINGS.model_dump(), "adapters": {"one": {"path": "x"}}}, "a test")
    route = perform_action.find_route(settings, ["one"], "fix", "python", status=engine.status())
    assert route is not None
    assert (route.adapter, route.base_format) == ("one", None)


def test_adapter_that_was_trained_on_edits_gets_the_format_of_its_base(engine: ScriptedEngine) -> None:
    found = find_target(CODE, CODE.index("add"), CODE.index("add"), "python")
    target = Target(CODE, found.start, found.end, "python", instruction="add both numbers") if found else None
    assert target is not None
    route = perform_action.ActionRoute("own", "edits")
    before, message, after = tokens(*COMMIT)
    code = "def add(a, b):\n    return a - b"
    request = perform_action.prepare_action(SETTINGS, engine, "rewrite", target, route).prompt.request
    assert request.adapter == "own"
    assert request.parts == (before, code, message, "Add both numbers", after)
    engine.set_status(special_tokens=frozenset({"<fim_prefix>"}))
    request = perform_action.prepare_action(SETTINGS, engine, "rewrite", target, route).prompt.request
    assert request.end_tokens == ()
    assert request.parts[0].startswith(f"username_0: Add both numbers\n\n```{code}```")  # type: ignore[union-attr]
    with pytest.raises(ActionUnavailable, match="changes code only"):
        perform_action.prepare_action(SETTINGS, engine, "explain", target, route)


def test_subject_of_an_own_action_is_its_title() -> None:
    assert write_subject("sort", "x = 1", Target("x = 1", 0, 5), "Sort the imports") == "Sort the imports"
