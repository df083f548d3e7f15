"""Each run here is a real server process around a scripted engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND
from repositories import repository
from starcoder_ls.commands import eval_holes
from starcoder_ls.commands.eval_holes import Asked, Served
from starcoder_ls.errors import EngineError, ModelError, SettingsError
from starcoder_ls.evaluation import results
from starcoder_ls.evaluation.holes import Kind


@pytest.fixture(autouse=True)
def settings_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own, which no test may read."""
    file = tmp_path_factory.mktemp("settings") / "settings.toml"
    file.write_text("")
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(file))
    return file


def served(engine: dict[str, Any] | None = None, options: dict[str, Any] | None = None) -> Served:
    program = [*FAKE_SERVER_COMMAND, json.dumps(engine or {"scripts": [["self", ".name", "\n"]]})]
    return Served((), {}, options or {}, program=program)


def test_a_run_fills_every_hole_and_leaves_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "code").mkdir()
    folder = repository(tmp_path / "code")
    json_file, html_file = tmp_path / "run.json", tmp_path / "run.html"
    assert eval_holes.run(Asked([folder], 3, 0), served(), json_file, html_file) == 0
    run = results.read_run(json_file)
    assert {hole.kind for hole in run.holes} == {Kind.LINE, Kind.REST, Kind.BLOCK, Kind.SPAN}
    assert {hole.language for hole in run.holes} == {"python", "javascript"}
    assert all(hole.elapsed_ms > 0 for hole in run.holes)
    assert any(hole.texts and hole.texts.suggestion == "self.name" for hole in run.holes)
    assert (run.model, run.folders, run.seed, run.wanted_per_kind) == ("scripted", ["code"], 0, 3)
    assert "self.name" in html_file.read_text(encoding="utf-8")
    shown = capsys.readouterr()
    for said in ("single-line", "block", "javascript", "first", "p95"):
        assert said in shown.out


def test_settings_reach_the_server(tmp_path: Path) -> None:
    options = eval_holes.overrides(["inline_completion.enabled=false", "context.ignore=['web/']"])
    run = eval_holes.measured(Asked([repository(tmp_path)], 2, 0), served(options=options))
    assert not any(hole.has_answer for hole in run.holes)
    assert {hole.language for hole in run.holes} == {"python"}
    assert run.overrides == {"inline_completion": {"enabled": False}, "context": {"ignore": ["web/"]}}


def test_kinds_languages_and_texts_are_as_asked(tmp_path: Path) -> None:
    asked = Asked([repository(tmp_path)], 2, 1, [Kind.BLOCK], ["javascript"], has_texts=False)
    run = eval_holes.measured(asked, served())
    assert [(hole.kind, hole.language, hole.texts) for hole in run.holes] == [(Kind.BLOCK, "javascript", None)]


def test_fewer_holes_than_asked_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eval_holes.measured(Asked([repository(tmp_path) / "web"], 50, 0, [Kind.BLOCK]), served())
    assert "Only 1 of 50 holes of the kind block" in capsys.readouterr().err


def test_a_model_that_cannot_load_ends_the_run_with_its_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="The checkpoint is torn"):
        eval_holes.measured(Asked([repository(tmp_path)], 2, 0), served({"failure": "The checkpoint is torn."}))


def test_a_server_that_dies_ends_the_run_with_its_last_words(tmp_path: Path) -> None:
    dying = Served((), {}, {}, program=[sys.executable, "-c", "raise SystemExit('no such library')"])
    with pytest.raises(EngineError, match=r"ended before it could be asked.*\n.*last words:\n  no such library"):
        eval_holes.measured(Asked([repository(tmp_path)], 2, 0), dying)


def test_a_report_that_has_no_folder_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no folder"):
        eval_holes.run(Asked([tmp_path], 2, 0), served(), tmp_path / "nowhere" / "run.json", None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("context.evidence", "is not KEY=VALUE"),
        ("context.evidence=maybe", "is not KEY=VALUE"),
        ("model.name='x'", "Use --model"),
        ("log.level='debug'", "--settings FILE"),
    ],
)
def test_a_setting_that_cannot_be_sent_is_refused(given: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        eval_holes.overrides([given])


def test_a_setting_that_does_not_exist_is_refused_before_a_server_starts(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="evidenz"):
        eval_holes.measured(
            Asked([repository(tmp_path)], 2, 0), served(options=eval_holes.overrides(["context.evidenz=true"]))
        )


def test_kinds_are_known_by_their_short_names() -> None:
    assert eval_holes.kinds_of(["span", "line", "line"]) == [Kind.LINE, Kind.SPAN]
    with pytest.raises(SettingsError, match="Choose from line, rest, block, span"):
        eval_holes.kinds_of(["word"])
