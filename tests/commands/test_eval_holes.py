"""Each run uses a real server process with a scripted engine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND
from repositories import repository
from starcoder_ls.commands import eval_holes
from starcoder_ls.commands.support import hole_server
from starcoder_ls.commands.support.hole_selection import HoleSelection
from starcoder_ls.commands.support.hole_server import ServerLaunch
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.errors import EngineError, ModelError, SettingsError
from starcoder_ls.evaluation import completion_client, results
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.evaluation.repository import Repository


@pytest.fixture(autouse=True)
def settings_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces the user's own settings file."""
    file = tmp_path_factory.mktemp("settings") / "settings.toml"
    file.write_text("")
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(file))
    return file


def fake_server(engine: dict[str, Any] | None = None, options: dict[str, Any] | None = None) -> ServerLaunch:
    program = [*FAKE_SERVER_COMMAND, json.dumps(engine or {"scripts": [["self", ".name", "\n"]]})]
    return ServerLaunch((), {}, options or {}, program=program)


def test_run_fills_every_hole_and_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "code").mkdir()
    folder = repository(tmp_path / "code")
    json_file, html_file = tmp_path / "run.json", tmp_path / "run.html"
    assert eval_holes.run(HoleSelection([folder], 3, 0), fake_server(), json_file, html_file) == 0
    run = results.read_run(json_file)
    assert {hole.kind for hole in run.holes} == {Kind.LINE, Kind.REST, Kind.BLOCK, Kind.SPAN}
    assert {hole.language for hole in run.holes} == {"python", "javascript"}
    assert all(hole.elapsed_ms > 0 for hole in run.holes)
    assert any(hole.texts and hole.texts.suggestion == "self.name" for hole in run.holes)
    assert (run.model, run.folders, run.seed, run.wanted_per_kind) == ("scripted", ["code"], 0, 3)
    assert "self.name" in html_file.read_text(encoding="utf-8")
    printed = capsys.readouterr()
    for text in ("single-line", "block", "javascript", "first", "p95"):
        assert text in printed.out


def test_interrupted_run_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "code").mkdir()
    selection = HoleSelection([repository(tmp_path / "code")], 3, 0)
    request, requested = completion_client.request_suggestion, []

    async def end_after_two(server: Any, hole: Hole, language: str) -> tuple[str, float]:
        if len(requested) == 2:
            raise EngineError("The server has ended during the run.")
        requested.append(hole)
        return await request(server, hole, language)

    monkeypatch.setattr(completion_client, "request_suggestion", end_after_two)
    with pytest.raises(EngineError):
        eval_holes.run(selection, fake_server(), tmp_path / "run.json", None)
    assert "2 answers are in" in capsys.readouterr().err
    assert not (tmp_path / "run.json").exists()
    continued: list[Hole] = []

    async def count(server: Any, hole: Hole, language: str) -> tuple[str, float]:
        continued.append(hole)
        return await request(server, hole, language)

    monkeypatch.setattr(completion_client, "request_suggestion", count)
    assert eval_holes.run(selection, fake_server(), tmp_path / "run.json", None) == 0
    run = results.read_run(tmp_path / "run.json")
    assert len(run.holes) == len(continued) + 2
    assert not set(requested) & set(continued)
    assert not list(tmp_path.glob("*.partial"))
    assert {"shop/shop.py", "web/list.js"} <= run.sources.keys()


def test_earlier_results_in_the_repository_are_hidden_from_the_server(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    selection = HoleSelection([folder], 2, 0)
    before = tmp_path / "before.json"
    assert eval_holes.run(selection, fake_server(), before, folder / "web" / "report [1].html") == 0
    launch = fake_server(options=eval_holes.parse_assignments(["context.ignore=['*.tmp']"]))
    found = Repository([folder])
    sent = hole_server.without_outputs(launch.options, launch.load_settings(), found)
    assert sent["context"]["ignore"] == ["*.tmp", "/web/report\\ \\[1\\].html"]
    assert IgnoreRules([folder], sent["context"]["ignore"]).exclusion_reason(Path(found.outputs[0])) is not None
    assert eval_holes.run(selection, launch, folder / "after.json", None) == 0
    first, second = (results.read_run(file) for file in (before, folder / "after.json"))
    assert [hole.id for hole in first.holes] == [hole.id for hole in second.holes]


def test_settings_reach_the_server(tmp_path: Path) -> None:
    options = eval_holes.parse_assignments(["inline_completion.enabled=false", "context.ignore=['web/']"])
    run = eval_holes.measure(HoleSelection([repository(tmp_path)], 2, 0), fake_server(options=options))
    assert not any(hole.has_answer for hole in run.holes)
    assert {hole.language for hole in run.holes} == {"python"}
    assert run.overrides == {"inline_completion": {"enabled": False}, "context": {"ignore": ["web/"]}}


def test_selection_limits_kinds_languages_and_texts(tmp_path: Path) -> None:
    selection = HoleSelection([repository(tmp_path)], 2, 1, [Kind.BLOCK], ["javascript"], has_texts=False)
    run = eval_holes.measure(selection, fake_server())
    assert [(hole.kind, hole.language, hole.texts) for hole in run.holes] == [(Kind.BLOCK, "javascript", None)]


def test_model_that_cannot_be_loaded_ends_the_run_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="The checkpoint is torn"):
        eval_holes.measure(
            HoleSelection([repository(tmp_path)], 2, 0), fake_server({"failure": "The checkpoint is torn."})
        )


def test_run_without_its_adapter_is_an_error_and_others_need_none(tmp_path: Path) -> None:
    adapters = {
        "mine": {"path": str(tmp_path), "tasks": ["completion"]},
        "explain": {"path": str(tmp_path), "tasks": ["explain"]},
    }
    launch = fake_server({"adapters": ["mine"]})
    with_adapters = replace(launch, overlay={"adapters": adapters})
    assert eval_holes.measure(HoleSelection([repository(tmp_path)], 1, 0), with_adapters).adapters == ["mine"]
    without = replace(fake_server(), overlay={"adapters": adapters})
    with pytest.raises(ModelError, match="The adapter mine is not loaded"):
        eval_holes.measure(HoleSelection([tmp_path], 1, 0), without)


def test_server_that_fails_ends_the_run_with_the_end_of_its_log(tmp_path: Path) -> None:
    failing = ServerLaunch((), {}, {}, program=[sys.executable, "-c", "raise SystemExit('no such library')"])
    with pytest.raises(EngineError, match=r"ended before it was ready.*\n.*server's log:\n  no such library"):
        eval_holes.measure(HoleSelection([repository(tmp_path)], 2, 0), failing)


def test_missing_folder_of_a_file_is_an_error_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no folder"):
        eval_holes.run(HoleSelection([tmp_path], 2, 0), fake_server(), tmp_path / "nowhere" / "run.json", None)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("context.evidence", "is not KEY=VALUE"),
        ("context.evidence=maybe", "is not KEY=VALUE"),
        ("model.name='x'", "Use --model"),
        ("log.level='debug'", "--settings FILE"),
    ],
)
def test_assignment_that_cannot_be_sent_is_an_error(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        eval_holes.parse_assignments([assignment])


def test_unknown_setting_is_an_error_before_the_server_starts(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="evidenz"):
        eval_holes.measure(
            HoleSelection([repository(tmp_path)], 2, 0),
            fake_server(options=eval_holes.parse_assignments(["context.evidenz=true"])),
        )


def test_kinds_are_parsed_from_their_short_names() -> None:
    assert eval_holes.parse_kinds(["span", "line", "line"]) == [Kind.LINE, Kind.SPAN]
    with pytest.raises(SettingsError, match="Choose from line, rest, block, span"):
        eval_holes.parse_kinds(["word"])
