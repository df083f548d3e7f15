from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.errors import ModelInvalid
from starcoder_ls.json_files import MAX_CONFIG_BYTES, is_nested_deeper, printable, read_json_object


@pytest.mark.parametrize("text", ['{"a":' * 100_000, "[" * 100_000, '{"a":' * 20 + "1" + "}" * 20, '{"a": 1e'])
def test_deep_or_broken_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelInvalid, match=r"config\.json is n"):
        read_json_object(tmp_path / "config.json")


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as stream:
        stream.truncate(MAX_CONFIG_BYTES + 1)
    with pytest.raises(ModelInvalid, match="are the limit"):
        read_json_object(tmp_path / "config.json")


def test_depth_counts_lists_and_objects() -> None:
    assert not is_nested_deeper({"a": [1, {"b": 2}]}, 3)
    assert is_nested_deeper({"a": [1, {"b": {}}]}, 3)


def test_control_characters_are_escaped_in_messages() -> None:
    assert printable("a\x1b[31m\n\u202eb") == "a\\x1b[31m\\n\\u202eb"
    assert printable("x" * 100) == "x" * 60 + "…"
