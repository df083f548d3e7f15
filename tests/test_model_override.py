from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from starcoder_ls.model_override import inherited

CHAT = {"name": "owner/chat", "revision": "v1", "tasks": ["completion", "instruct"], "template": "x", "device": "cpu"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"name": "owner/other"}, {"name": "owner/other", "device": "cpu"}),
        ({"name": "bundled", "tasks": ["instruct"]}, {"name": "bundled", "tasks": ["instruct"], "device": "cpu"}),
        ({"name": "owner/chat"}, CHAT),
        ({"device": "cuda"}, {**CHAT, "device": "cuda"}),
        ({"name": 5}, {**CHAT, "name": 5}),
    ],
)
def test_other_model_inherits_no_revision_tasks_template(override: dict[str, Any], expected: dict[str, Any]) -> None:
    assert inherited(CHAT, override) | override == expected


def test_tasks_without_a_model_are_for_any_model() -> None:
    assert inherited({"tasks": ["instruct"]}, {"name": "owner/chat"}) == {"tasks": ["instruct"]}


def test_relative_and_absolute_path_are_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    base = {"name": "model/", "tasks": ["instruct"]}

    assert inherited(base, {"name": str(tmp_path / "model")}) == base
