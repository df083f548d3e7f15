from __future__ import annotations

from starcoder_ls.settings import Settings
from starcoder_ls.settings.merge import merge, split_unknown


def test_unknown_keys_are_separated_from_known_ones() -> None:
    tree = {"trace": 1, "model": {"name": "a/b", "nam": 2}, "inline_completion": 5}
    known, unknown = split_unknown(Settings, tree)
    assert known == {"model": {"name": "a/b"}, "inline_completion": 5}
    assert unknown == ["trace", "model.nam"]


def test_merge_combines_tables_and_replaces_other_values() -> None:
    base = {"model": {"name": "a", "threads": 2}, "log": {"level": "info"}}
    override = {"model": {"name": None}, "log": 5}
    assert merge(base, override) == {"model": {"name": None, "threads": 2}, "log": 5}
    assert base["model"] == {"name": "a", "threads": 2}
