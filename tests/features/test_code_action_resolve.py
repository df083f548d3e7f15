from __future__ import annotations

import copy
from typing import Any

import pytest

from actions import ADAPTER, EDITOR, apply_action, apply_edits, code_actions, lsp_range, resolve_action
from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until, wait_until_idle
from starcoder_ls.generation import Priority
from starcoder_ls.lsp.client import ResponseFailed

CODE = "s = '😀'\n\n\ndef add(a, b):\n    t = '😀é'; c = a - b\n    return c\n"
FIXED = CODE.replace("a - b", "a + b")
ANSWER = "```python\ndef add(a, b):\n    t = '😀é'; c = a + b\n    return c\n```"
SLOW = [f"word{i} " for i in range(5000)]


def engine(*answer: str, token_s: float = 0.0) -> ScriptedEngine:
    return ScriptedEngine([answer or [ANSWER]], adapters=["astraios"], token_s=token_s)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@async_test
async def test_edit_is_minimal_versioned_and_needs_confirmation(encoding: str) -> None:
    used = engine()
    capabilities = {**EDITOR, "general": {"positionEncodings": [encoding]}}
    async with initialized_client(used, capabilities=capabilities, options=ADAPTER) as client:
        client.open(URI, CODE, version=7)
        action = await resolve_action(client, "Simplify", lsp_range(4, 4, 6, 6))
        (change,) = action["edit"]["documentChanges"]
        assert change["textDocument"] == {"uri": URI, "version": 7}
        (edit,) = change["edits"]
        width = {"utf-8": 27, "utf-16": 24, "utf-32": 23}[encoding]
        assert edit["range"] == lsp_range(4, 4, 0, width)
        assert edit["newText"] == "    t = '😀é'; c = a + b"
        (annotation,) = action["edit"]["changeAnnotations"].values()
        assert annotation["needsConfirmation"] is True
        assert edit["annotationId"] in action["edit"]["changeAnnotations"]
        (request,) = used.requests
        assert request.adapter == "astraios"
        assert request.priority is Priority.EXPLANATION
        (prompt,) = request.parts
        assert prompt == (
            "Question: Simplify this Python code without changing what it does.\n"
            "def add(a, b):\n    t = '😀é'; c = a - b\n    return c\n\nAnswer:"
        )


@async_test
async def test_client_without_versions_or_annotations_gets_plain_changes() -> None:
    capabilities = copy.deepcopy(EDITOR)
    capabilities["workspace"] = {"applyEdit": True}
    async with initialized_client(engine(), capabilities=capabilities, options=ADAPTER) as client:
        client.open(URI, CODE)
        action = await resolve_action(client, "Simplify", lsp_range(4, 4, 6, 6))
        assert set(action["edit"]) == {"changes"}
        assert apply_edits(CODE, action["edit"]["changes"][URI]) == FIXED
    capabilities["workspace"] = {"workspaceEdit": {"documentChanges": True}}
    async with initialized_client(engine(), capabilities=capabilities, options=ADAPTER) as client:
        client.open(URI, CODE)
        action = await resolve_action(client, "Simplify", lsp_range(4, 4, 6, 6))
        assert set(action["edit"]) == {"documentChanges"}
        assert apply_action(CODE, action) == FIXED


@async_test
async def test_messages_of_diagnostics_are_in_the_prompt() -> None:
    used = engine()
    diagnostic = {"range": lsp_range(4, 4, 4, 8), "message": "wrong sign"}
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        action = await resolve_action(client, "Fix", lsp_range(3, 6), diagnostics=[diagnostic])
        assert apply_action(CODE, action) == FIXED
        assert "Fix the bugs in this Python code.\nLine 2: wrong sign\ndef add" in used.requests[0].parts[0]


@async_test
async def test_special_tokens_of_a_template_are_special_and_those_in_code_text() -> None:
    used = engine()
    template = "<fim_pad>user\n{question}<fim_pad>\n"
    options = {"adapters": {"astraios": {"path": "x", "template": template}}}
    async with initialized_client(used, capabilities=EDITOR, options=options) as client:
        client.open(URI, CODE.replace("😀é", "<fim_pad>"))
        await resolve_action(client, "Simplify", lsp_range(3, 6))
        pad, question, end, after = used.requests[0].parts
        assert (str(pad), after) == ("SpecialToken(literal='<fim_pad>')", "\n")
        assert end == pad
        assert isinstance(question, str)
        assert "t = '<fim_pad>'" in question
        assert pad in used.requests[0].end_tokens


@async_test
async def test_changed_document_gives_content_modified_instead_of_an_edit() -> None:
    used = engine(*SLOW, token_s=0.01)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        (simplify,) = [a for a in await code_actions(client, lsp_range(3, 6)) if a["title"] == "Simplify"]
        pending = client.request("codeAction/resolve", simplify)
        await wait_until(lambda: used.steps >= 2)
        client.change(URI, 2, {"text": CODE + "\n"})
        with pytest.raises(ResponseFailed) as caught:
            await pending
        assert caught.value.code == -32801
        steps = used.steps
        await wait_until_idle(used)
        assert used.steps <= steps + 1
        with pytest.raises(ResponseFailed) as caught:
            await client.request("codeAction/resolve", simplify)  # of an older version
        assert caught.value.code == -32801
        assert len(used.requests) == 1


@async_test
async def test_cancelled_resolve_gets_an_error_and_stops_the_generation() -> None:
    used = engine(*SLOW, token_s=0.01)
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        (simplify,) = [a for a in await code_actions(client, lsp_range(3, 6)) if a["title"] == "Simplify"]
        pending = client.request("codeAction/resolve", simplify)
        await wait_until(lambda: used.steps >= 2)
        client.cancel(pending)
        with pytest.raises(ResponseFailed) as caught:
            await pending
        assert caught.value.code == -32800
        steps = used.steps
        await wait_until_idle(used)
        assert used.steps <= steps + 1
        assert not client.unmatched_responses


@async_test
async def test_action_with_a_command_is_returned_unchanged() -> None:
    async with initialized_client(engine(), capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        (explain,) = [a for a in await code_actions(client, lsp_range(3, 6)) if a["title"] == "Explain"]
        assert await client.request("codeAction/resolve", explain) == explain


@pytest.mark.parametrize(
    ("data", "code", "expected"),
    [
        ({"action": "simplify", "uri": URI}, -32602, "`range` is missing"),
        ({"action": "simplify", "uri": URI, "range": lsp_range(0, -1)}, -32602, "range.end.line"),
        ({"action": "simplify", "uri": URI, "range": lsp_range(0, 1), "more": 1}, -32602, "`more` is not known"),
        (5, -32602, "codeAction/resolve"),
        ({"action": "fly", "uri": URI, "range": lsp_range(3, 5)}, -32803, "There are: "),
        ({"action": "rewrite", "uri": URI, "range": lsp_range(3, 5)}, -32803, "instruction"),
        ({"action": "simplify", "uri": "file:///none", "range": lsp_range(3, 5)}, -32803, "not open"),
        ({"action": "simplify", "uri": URI, "range": lsp_range(1, 2)}, -32803, "no code here"),
        ({"action": "document", "uri": URI, "range": lsp_range(0, 1)}, -32803, "no function"),
        (
            {"action": "fix", "uri": URI, "range": lsp_range(3, 5)},
            -32803,
            "Fix needs a problem that the editor reports",
        ),
    ],
)
@async_test
async def test_impossible_request_gets_a_one_sentence_error(data: Any, code: int, expected: str) -> None:
    used = engine()
    async with initialized_client(used, capabilities=EDITOR, options=ADAPTER) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed) as caught:
            await client.request("codeAction/resolve", {"title": "x", "data": data})
        assert caught.value.code == code
        assert expected in caught.value.message
        assert not used.requests


@async_test
async def test_code_that_exceeds_the_limits_is_rejected_before_generation() -> None:
    used = engine()
    options = {**ADAPTER, "actions": {"simplify": {"max_new_tokens": 40}}}
    async with initialized_client(used, capabilities=EDITOR, options=options) as client:
        client.open(URI, "x = 1\n" * 100)
        with pytest.raises(ResponseFailed) as caught:
            await resolve_action(client, "Simplify", lsp_range(0, 50))
        assert "more than the 40" in caught.value.message
        client.open(URI, "x = 1\n" * 9000)
        with pytest.raises(ResponseFailed) as caught:
            await resolve_action(client, "Simplify", lsp_range(0, 8000))
        assert "Select less" in caught.value.message
        assert not used.requests


@async_test
async def test_resolve_while_loading_gets_the_loading_message_as_error() -> None:
    loading = ScriptedEngine(load_s=5, adapters=["astraios"])
    data = {"action": "simplify", "uri": URI, "range": lsp_range(3, 6)}
    async with initialized_client(loading, capabilities=EDITOR, options=ADAPTER, is_ready=False) as client:
        client.open(URI, CODE)
        with pytest.raises(ResponseFailed, match=r"Reading the weights|Starting"):
            await client.request("codeAction/resolve", {"title": "x", "data": data})
