"""A settings file for the tests of ``starcoder-ls adapters``."""

from __future__ import annotations

from pathlib import Path

import pytest

SETTINGS = '# mine\n[model]\nname = "{base}"  # the small one\ndevice = "cpu"\n\n[log]  # quiet\nlevel = "error"\n'


@pytest.fixture
def golden_settings(tmp_path: Path) -> Path:
    """A settings file with comments, whose model is the base of the golden adapters."""
    import adapter_fixtures  # loads torch, which most tests do without

    base = adapter_fixtures.copy_golden_base(tmp_path / "base")
    file = tmp_path / "settings.toml"
    file.write_text(SETTINGS.format(base=base.as_posix()), encoding="utf-8")
    return file
