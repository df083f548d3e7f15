from __future__ import annotations

from pathlib import Path

import pytest

from repositories import repository
from starcoder_ls import settings
from starcoder_ls.commands.support.hole_selection import HoleSelection, draw_holes
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Kind


def test_missing_holes_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, holes = draw_holes(HoleSelection([repository(tmp_path) / "web"], 50, 0, [Kind.BLOCK]), settings.Settings())
    assert [hole.kind for hole in holes] == [Kind.BLOCK]
    assert "Only 1 of 50 holes of the kind block" in capsys.readouterr().err


def test_selection_draws_each_kind_and_leaves_out_what_the_settings_ignore(tmp_path: Path) -> None:
    ignoring = settings.Settings.model_validate({"context": {"ignore": ["web/"]}})
    files, holes = draw_holes(HoleSelection([repository(tmp_path)], 1, 0), ignoring)
    assert [hole.kind for hole in holes] == [*SYNTAX_KINDS]
    assert not any("web" in Path(file).parts for file in files.files)
    with pytest.raises(SettingsError, match="no source files in haskell"):
        draw_holes(HoleSelection([tmp_path], 1, 0, languages=["haskell"]), ignoring)
