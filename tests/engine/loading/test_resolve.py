from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import starcoder_ls
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.errors import ModelNotFound
from starcoder_ls.settings import Model


def test_bundled_model_is_a_folder_of_the_package() -> None:
    package = Path(starcoder_ls.__file__).parent
    assert resolve_checkpoint(Model(), ignore_progress).folder == package / "bundled"


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="There is no folder"):
        resolve_checkpoint(Model(name=str(tmp_path / "absent")), ignore_progress)


def test_checkpoint_is_resolved_without_importing_torch() -> None:
    """In a process of its own: the tests have imported torch."""
    script = (
        "import sys; from starcoder_ls.engine.loading import progress, resolve;"
        "from starcoder_ls.settings import Model;"
        "resolve.resolve_checkpoint(Model(), progress.ignore_progress);"
        "sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
