from __future__ import annotations

from typing import Any

import pytest

from actions import ADAPTER, COMMANDS_ONLY, EDITOR, code_actions, lsp_range
from fakes import FIM_TOKENS, ScriptedEngine
from harness import INLINE_COMPLETION, URI, async_test, initialized_client, notifications_of
from starcoder_ls.settings import validate

CODE = "import os\n\n\ndef add(a, b):\n    return a - b\n\n\nx = '😀' + 1\n"
ALL = ["Explain", "Write docstring", "Write tests", "Simplify"]
DIAGNOSTIC = {
    "range": lsp_range(4, 4, 4, 10),
    "message": "wrong\n  sign",
    "severity": 1,
    "code": 7,
    "data": {"any": [1]},
}


def engine() -> ScriptedEngine:
    return ScriptedEngine(adapters=["astraios"])


def titles(actions: Any) -> list[str]:
    return [action["title"] for action in actions or []]


@async_test
async def test_selection_and_enclosing_function_get_equal_actions_without_model() -> None:
    used = engine()
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        at_cursor = await code_actions(client, lsp_range(4, 4, 6, 6))
        selected = await code_actions(client, lsp_range(3, 5))
        assert titles(at_cursor) == titles(selected) == ALL
        assert {action["kind"] for action in at_cursor} == {
            "starcoder.explain", "starcoder.document", "starcoder.test", "starcoder.simplify"
        }  # fmt: skip
        assert at_cursor == selected
        by_title = {action["title"]: action for action in at_cursor}
        assert by_title["Simplify"]["data"]["range"] == lsp_range(3, 4, 0, 16)
        assert by_title["Explain"]["command"]["command"] == "starcoder.explain"
        assert not used.requests


@pytest.mark.parametrize(
    "where",
    [lsp_range(0, 0, 2, 2), lsp_range(1, 2), lsp_range(5, 7)],
    ids=["no function", "blank lines", "blank lines below"],
)
@async_test
async def test_range_without_code_gets_no_actions(where: dict[str, Any]) -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        assert await code_actions(client, where) is None


@async_test
async def test_actions_without_adapter_or_tuned_model_are_not_offered() -> None:
    async with initialized_client(ScriptedEngine(), capabilities=EDITOR) as client:
        client.open(URI, CODE)
        assert await code_actions(client, lsp_range(3, 5)) is None
    explainer = {"adapters": {"e": {"path": "x", "tasks": ["explain"]}}}
    async with initialized_client(ScriptedEngine(adapters=["e"]), capabilities=EDITOR, options=explainer) as client:
        client.open(URI, CODE)
        assert titles(await code_actions(client, lsp_range(3, 5))) == ["Explain"]
    async with initialized_client(ScriptedEngine(adapters=["other"]), capabilities=EDITOR) as client:
        client.open(URI, CODE)
        assert await code_actions(client, lsp_range(3, 5)) is None
    tuned = {"model": {"tasks": ["completion", "instruct"]}}
    async with initialized_client(ScriptedEngine(), capabilities=EDITOR, options=tuned) as client:
        client.open(URI, CODE)
        assert titles(await code_actions(client, lsp_range(3, 5))) == ALL


@async_test
async def test_fix_is_offered_for_a_diagnostic_and_contains_its_message() -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        (fix,) = [
            a for a in await code_actions(client, lsp_range(3, 5), diagnostics=[DIAGNOSTIC]) if a["title"] == "Fix"
        ]
        assert fix["kind"] == "quickfix"
        assert fix["data"]["diagnostics"] == ["Line 2: wrong sign"]
        assert [item["message"] for item in fix["diagnostics"]] == [DIAGNOSTIC["message"]]
        outside = {**DIAGNOSTIC, "range": lsp_range(7, 7, 0, 1)}
        assert "Fix" not in titles(await code_actions(client, lsp_range(3, 5), diagnostics=[outside]))
        (fix,) = await code_actions(client, lsp_range(7, 7, 0, 0), diagnostics=[outside], only=["quickfix"])
        assert fix["data"]["range"] == lsp_range(7, 7, 0, 12)
        older = {**DIAGNOSTIC, "range": lsp_range(700, 700)}
        assert "Fix" not in titles(await code_actions(client, lsp_range(3, 5), diagnostics=[older]))


@async_test
async def test_fix_takes_the_problems_of_the_target_from_those_of_the_document() -> None:
    text = CODE + "y = 2\n"
    far, near = ({**DIAGNOSTIC, "range": lsp_range(line, line, 4, 5), "message": f"line {line}"} for line in (7, 8))
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, text)
        diagnostics = [far, DIAGNOSTIC, near]
        for line, expected in ((3, ["Line 2: wrong sign"]), (8, ["Line 1: line 8"])):
            (fix,) = await code_actions(client, lsp_range(line, line, 0, 0), diagnostics=diagnostics, only=["quickfix"])
            assert fix["data"]["diagnostics"] == expected
        assert await code_actions(client, lsp_range(0, 0), diagnostics=diagnostics) is None, "no problem in this line"


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["starcoder.explain"], ["Explain"]),
        (["starcoder"], ALL),
        ([""], [*ALL[:2], "Fix", *ALL[2:]]),
        (["quickfix"], ["Fix"]),
        (["source"], []),
        (["starcoder.exp"], []),
        ([], []),
    ],
)
@async_test
async def test_only_the_requested_kinds_are_offered(only: list[str], expected: list[str]) -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        assert titles(await code_actions(client, lsp_range(3, 5), diagnostics=[DIAGNOSTIC], only=only)) == expected


@async_test
async def test_automatic_requests_get_actions_for_selections_and_diagnostics() -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        assert await code_actions(client, lsp_range(4, 4, 6, 6), triggerKind=2) is None
        assert titles(await code_actions(client, lsp_range(3, 5), triggerKind=2)) == ALL
        context = {"diagnostics": [DIAGNOSTIC], "triggerKind": 2}
        assert titles(await code_actions(client, lsp_range(4, 4, 6, 6), **context)) == ["Fix"]


@async_test
async def test_rewrite_gets_its_instruction_from_a_comment_or_the_client() -> None:
    text = "# use a dict\nx = 1\ny = 2\n"
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, text)
        (rewrite,) = [a for a in await code_actions(client, lsp_range(0, 3)) if a["kind"] == "starcoder.rewrite"]
        assert rewrite["title"] == "Rewrite: use a dict"
        assert rewrite["data"]["instruction"] == "use a dict"
        assert rewrite["data"]["range"] == lsp_range(1, 2, 0, 5)
    capabilities = {**EDITOR, "experimental": {"starcoderInstruct": True}}
    async with initialized_client(engine(), capabilities=capabilities, options=ADAPTER) as client:
        client.open(URI, CODE)
        by_title = {a["title"]: a for a in await code_actions(client, lsp_range(3, 5))}
        assert set(by_title) == {*ALL, "Rewrite …", "Ask …"}
        command = by_title["Rewrite …"]["command"]
        assert (command["command"], command["arguments"][1]) == ("starcoder.instruct", "starcoder.act")
        assert by_title["Ask …"]["command"]["arguments"][1] == "starcoder.explain"


@async_test
async def test_client_without_code_action_literals_gets_commands() -> None:
    async with initialized_client(engine(), capabilities=COMMANDS_ONLY, options=ADAPTER) as client:
        client.open(URI, CODE)
        actions = await code_actions(client, lsp_range(3, 5))
        assert titles(actions) == ALL
        assert [a["command"] for a in actions] == [
            "starcoder.explain", "starcoder.act", "starcoder.explain", "starcoder.act"
        ]  # fmt: skip
    async with initialized_client(engine(), capabilities=INLINE_COMPLETION, options=ADAPTER) as client:
        client.open(URI, CODE)
        assert titles(await code_actions(client, lsp_range(3, 5))) == ["Explain", "Write tests"]


@async_test
async def test_user_can_add_change_and_disable_actions() -> None:
    options = {
        **ADAPTER,
        "actions": {
            "explain": {"title": "What is this?"},
            "simplify": {"enabled": False},
            "translate": {
                "title": "Translate",
                "instruction": "In C:",
                "kind": "refactor.rewrite.c",
                "becomes": "text",
            },
        },
    }
    async with initialized_client(engine(), capabilities=EDITOR, options=options) as client:
        client.open(URI, CODE)
        actions = await code_actions(client, lsp_range(3, 5))
        assert titles(actions) == ["What is this?", "Write docstring", "Write tests", "Translate"]
        assert actions[-1]["kind"] == "refactor.rewrite.c"
        assert "refactor.rewrite.c" in client.capabilities["codeActionProvider"]["codeActionKinds"]


@async_test
async def test_invalid_action_in_the_settings_is_reported_once_with_its_key() -> None:
    options = {**ADAPTER, "actions": {"mine": {"title": "M", "instruction": "x {foo}", "kind": "source.x"}}}
    async with initialized_client(engine(), capabilities=EDITOR, options=options) as client:
        (message,) = notifications_of(client, "window/showMessage")
        assert "actions.mine.instruction" in message["message"]
        assert "actions.mine.kind" in message["message"]


@async_test
async def test_result_is_null_while_loading_and_for_unknown_documents() -> None:
    loading = ScriptedEngine(load_s=5, adapters=["astraios"])
    async with initialized_client(loading, capabilities=EDITOR, options=ADAPTER, is_ready=False) as client:
        client.open(URI, CODE)
        assert await code_actions(client, lsp_range(3, 5)) is None
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        assert await code_actions(client, lsp_range(3, 5)) is None
        client.open(URI, CODE)
        assert await code_actions(client, lsp_range(70, 75)) is None


@pytest.mark.parametrize("model", ["bigcode/starcoderbase-1b", "bundled"])
@async_test
async def test_base_model_that_has_read_commits_offers_edits(model: str) -> None:
    used = ScriptedEngine()
    used.set_status(special_tokens=FIM_TOKENS | {"<commit_before>", "<commit_msg>", "<commit_after>"})
    settings = validate({"model": {"name": model}}, "a test")
    async with initialized_client(used, settings, capabilities=EDITOR) as client:
        client.open(URI, CODE)
        offered = titles(await code_actions(client, lsp_range(4, 4, 6, 6)))
        assert offered == (["Explain", "Write docstring"] if model == "bundled" else ["Write docstring", "Simplify"])
