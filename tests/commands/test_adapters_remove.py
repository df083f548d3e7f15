from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.commands import adapters_remove
from starcoder_ls.commands.support import settings_file
from starcoder_ls.errors import SettingsError


def test_removal_restores_the_settings_file_and_fails_the_second_time(golden_settings: Path) -> None:
    before = golden_settings.read_text(encoding="utf-8")
    settings_file.put(golden_settings, ("adapters", "explain"), {"path": "/a"})
    assert adapters_remove.run("explain", golden_settings) == 0
    assert golden_settings.read_text(encoding="utf-8").strip() == before.strip()
    with pytest.raises(SettingsError, match="has no adapter explain"):
        adapters_remove.run("explain", golden_settings)
