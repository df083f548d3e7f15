from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.git_command import run_git
from training_fixtures import commit


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("first\n")
    commit(tmp_path, ["a.py"], "2026-01-01T00:00:00Z")
    return tmp_path


def test_output_is_cut_at_the_limit_without_an_error(repository: Path) -> None:
    assert run_git(repository, ("show", "HEAD:a.py")) == b"first\n"
    assert run_git(repository, ("show", "HEAD:a.py"), max_bytes=3) == b"fir"


def test_input_is_passed(repository: Path) -> None:
    assert run_git(repository, ("cat-file", "--batch-check=%(objecttype)"), b"HEAD\n") == b"commit\n"


def test_failure_says_which_repository(repository: Path) -> None:
    with pytest.raises(SettingsError, match=str(repository)):
        run_git(repository, ("log", "no-such-branch"))


def test_git_that_takes_too_long_is_ended(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path_factory.mktemp("bin") / "git"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    with pytest.raises(SettingsError, match="exit code -9"):
        run_git(repository, ("log",), timeout_s=0.2)


def test_variables_of_a_hook_do_not_lead_to_another_repository(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "a.py").write_text("other\n")
    commit(other, ["a.py"], "2026-01-01T00:00:00Z")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert run_git(repository, ("show", "HEAD:a.py")) == b"first\n"


def test_configuration_of_the_repository_starts_no_program(repository: Path) -> None:
    marker = repository / "started"
    program = repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    (repository / ".git" / "hooks" / "post-index-change").write_text(program.read_text())
    (repository / ".git" / "hooks" / "post-index-change").chmod(0o755)
    with (repository / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\tpager = {program}\n\tfsmonitor = {program}\n[pager]\n\tlog = true\n")
    run_git(repository, ("log",))
    run_git(repository, ("status",))
    assert not marker.exists()
