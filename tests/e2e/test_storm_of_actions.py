"""Code actions, completions, edits and cancellations a few milliseconds apart, into a real server process."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from typing import Any

import pytest

from actions import ADAPTER, EDITOR, apply_action, code_actions, execute_command, lsp_range
from harness import FAKE_SERVER_COMMAND, URI, async_test, wait_until_ready
from starcoder_ls.lsp.client import PendingRequest, ResponseFailed, start

EVENTS = 150
CODE = "def add(a, b):\n    return a - b\n"
FIXED = "def add(a, b):\n    return a + b\n"
EXPECTED_ERRORS = {-32800, -32801}  # cancelled, content modified


@pytest.mark.parametrize("seed", [1, 2])
@async_test
async def test_each_request_is_answered_once_and_no_edit_is_outdated(seed: int) -> None:
    rng = random.Random(seed)
    words = ["It ", "adds ", "two."]
    engine = {
        "adapters": ["astraios"],
        "replies": {"Simplify": list(FIXED), "Explain": words},
        "scripts": [["x", "\n"]],
        "token_s": 0.002,
    }
    async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)], stderr=subprocess.DEVNULL) as client:
        client.on_request = lambda method, _: {"success": True} if method == "window/showDocument" else None
        await client.initialize(ADAPTER, EDITOR)
        await wait_until_ready(client)
        client.open(URI, CODE)
        (simplify,) = [a for a in await code_actions(client, lsp_range(0, 2)) if a["title"] == "Simplify"]
        text, version, requests = CODE, 1, list[tuple[PendingRequest, str]]()
        explain = {"uri": URI, "range": lsp_range(0, 2), "token": "t"}
        for _ in range(EVENTS):
            choice = rng.random()
            if choice < 0.25:
                version += 1
                client.change(URI, version, {"range": lsp_range(0, 0), "text": "#"})
                client.change(URI, version + 1, {"range": lsp_range(0, 0, 0, 1), "text": ""})
                version += 1
            elif choice < 0.5:
                action = {**simplify, "data": {**simplify["data"], "version": version}}
                requests.append((client.request("codeAction/resolve", action), text))
            elif choice < 0.65:
                requests.append((execute_command(client, "starcoder.explain", explain), text))
            elif choice < 0.8:
                requests.append((code_actions(client, lsp_range(0, 2)), text))
            else:
                requests.append((client.inline_completion(URI, 1, 4), text))
            if requests and rng.random() < 0.2:
                client.cancel(rng.choice(requests)[0])
            await asyncio.sleep(rng.choice([0.0, 0.003, 0.03]))
        answers: list[Any] = await asyncio.gather(*(request.future for request, _ in requests), return_exceptions=True)
        edits = 0
        for answer in answers:
            if isinstance(answer, ResponseFailed):
                assert answer.code in EXPECTED_ERRORS, answer
            elif isinstance(answer, dict) and "edit" in answer:
                assert apply_action(CODE, answer) == FIXED
                edits += 1
            elif isinstance(answer, dict):
                assert answer["text"] == "It adds two."
        assert edits > 0
        assert not client.unmatched_responses  # nothing was answered twice
        assert await client.shutdown() == 0
