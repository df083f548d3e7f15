from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints
from starcoder_ls.commands.support.engines import completes, loaded
from starcoder_ls.errors import ModelError
from starcoder_ls.settings import check


def test_an_adapter_that_does_not_complete_cannot_be_in_the_way_of_a_completion(tmp_path: Path) -> None:
    base = checkpoints.gpt_bigcode(tmp_path / "base")
    gone = {"path": str(tmp_path / "gone")}
    settings = {"model": {"name": str(base), "device": "cpu"}, "adapters": {"explains": gone}}
    with loaded(check(settings, "a test"), False, completes) as engine:
        assert engine.status().adapters == ()
    with pytest.raises(ModelError, match="explains was left out"), loaded(check(settings, "a test"), False):
        pass
    settings["adapters"]["explains"] = {**gone, "tasks": ["completion"]}
    with pytest.raises(ModelError, match="explains was left out"), loaded(check(settings, "a test"), False, completes):
        pass
