from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from starcoder_ls import user_folders

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the variables of Linux desktops")


@ON_LINUX
@pytest.mark.parametrize(
    ("variable", "folder", "expected"),
    [
        ("XDG_CONFIG_HOME", user_folders.config_folder, "starcoder-ls"),
        ("XDG_STATE_HOME", user_folders.state_folder, "starcoder-ls"),
        ("XDG_STATE_HOME", user_folders.log_folder, "starcoder-ls/log"),
        ("XDG_CACHE_HOME", lambda: user_folders.cache_folder("kernels"), "starcoder-ls/kernels"),
        ("XDG_RUNTIME_DIR", user_folders.runtime_folder, "starcoder-ls"),
    ],
)
def test_folders_are_where_the_platform_wants_them(
    variable: str, folder: Callable[[], Path], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STARCODER_LS_STATE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert folder() == tmp_path / expected


def test_variable_names_another_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    assert user_folders.state_folder() == tmp_path
