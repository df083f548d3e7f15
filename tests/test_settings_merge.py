from __future__ import annotations

from starcoder_ls.settings import Settings
from starcoder_ls.settings_merge import merged, pruned


def test_what_is_meant_for_others_is_told_apart() -> None:
    tree = {"trace": 1, "model": {"name": "a/b", "nam": 2}, "inline_completion": 5}
    kept, unknown = pruned(Settings, tree)
    assert kept == {"model": {"name": "a/b"}, "inline_completion": 5}
    assert unknown == ["trace", "model.nam"]


def test_tables_are_laid_over_one_another_and_all_else_is_replaced() -> None:
    below = {"model": {"name": "a", "threads": 2}, "log": {"level": "info"}}
    above = {"model": {"name": None}, "log": 5}
    assert merged(below, above) == {"model": {"name": None, "threads": 2}, "log": 5}
    assert below["model"] == {"name": "a", "threads": 2}
