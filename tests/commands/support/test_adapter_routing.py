from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from starcoder_ls.commands.support.adapter_routing import with_routed_adapter
from starcoder_ls.commands.support.source_position import read_cursor
from starcoder_ls.generation import AdapterStatus, Engine, Phase, Status
from starcoder_ls.settings import validate

ADAPTERS = {
    "python": {"path": "p", "tasks": ["completion"], "languages": ["python"]},
    "shell": {"path": "s", "tasks": ["completion"], "languages": ["sh"]},
    "vendored": {"path": "v", "tasks": ["completion"], "files": ["vendor/"]},
}


@pytest.mark.parametrize(
    ("name", "adapter"),
    [("x.py", "python"), ("x.pyi", "python"), ("x.sh", "shell"), ("x.js", None), ("vendor/x.js", "vendored")],
)
def test_completed_file_selects_the_adapter_of_its_language(name: str, adapter: str | None, tmp_path: Path) -> None:
    """A command line states no language: it is that of the file's name, under the id that editors send."""
    (tmp_path / "vendor").mkdir()
    (tmp_path / name).write_text("x = 1\n")
    loaded = tuple(AdapterStatus(name, "LORA") for name in ADAPTERS)
    engine = SimpleNamespace(status=lambda: Status(Phase.READY, adapters=loaded))
    settings = validate({"adapters": ADAPTERS}, "a test")
    cursor = with_routed_adapter(cast(Engine, cast(Any, engine)), settings, read_cursor(f"{tmp_path / name}:1:3"))
    assert cursor.adapter == adapter
