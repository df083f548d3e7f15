from __future__ import annotations

from pathlib import Path

import pytest

from repositories import repository
from starcoder_ls import settings
from starcoder_ls.commands.support import hole_server
from starcoder_ls.commands.support.hole_server import ServerLaunch
from starcoder_ls.errors import ModelError
from starcoder_ls.evaluation import html_report
from starcoder_ls.evaluation.repository import Repository


def test_adapters_that_complete_code_are_required_and_others_are_not(tmp_path: Path) -> None:
    tables = {name: {"path": str(tmp_path), "tasks": [name]} for name in ("completion", "explain")}
    config = settings.Settings.model_validate({"adapters": tables})
    assert hole_server.required_adapters(config) == ["completion"]


def test_reports_are_ignored_besides_what_was_ignored_before(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    launch = ServerLaunch((), {}, {"context": {"ignore": ["*.tmp"]}})
    config = launch.load_settings()
    assert hole_server.without_outputs(launch.options, config, Repository([folder])) == launch.options
    (folder / "web" / "report.html").write_text(f"<html><head>{html_report.GENERATOR}</head></html>")
    sent = hole_server.without_outputs(launch.options, config, Repository([folder]))
    assert sent["context"]["ignore"] == ["*.tmp", "/web/report.html"]


def fail_after_nine_lines(folders: list[Path]) -> None:
    with hole_server.server_files() as files:
        folders.append(files.folder)
        files.log.write("".join(f"line {number}\n\n" for number in range(9)))
        files.log.flush()
        raise ModelError("The checkpoint is torn.")


def test_errors_get_the_end_of_the_log_and_files_are_removed() -> None:
    folders: list[Path] = []
    with pytest.raises(ModelError, match=r"torn\.\n  The end of the server's log:(\n  line \d){6}$"):
        fail_after_nine_lines(folders)
    assert not folders[0].exists()
