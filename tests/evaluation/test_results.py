from __future__ import annotations

import json
from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.context.source_files import Source
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import results
from starcoder_ls.evaluation.holes import Hole, Kind

TEXT = "def f(a):\n    b = a\n    return b\n"
HOLE = Hole(Kind.LINE, Source("", "f.py", TEXT), 14, 19)


def test_scored_hole_has_its_position_and_all_scores() -> None:
    scored = results.score_hole(HOLE, "f.py", "python", "b = c", 12.3456)
    assert (scored.path, scored.line, scored.kind) == ("f.py", 2, Kind.LINE)
    assert (scored.has_answer, scored.is_exact, scored.is_first_line_match) == (True, False, False)
    assert (scored.edit_similarity, scored.identifier_f1) == (0.8, 0.5)
    assert (scored.kept_chars, scored.shown_chars, scored.elapsed_ms) == (4, 5, 12.35)
    assert scored.texts == results.Texts(before="def f(a):\n    ", truth="b = a", suggestion="b = c")


def test_missing_answer_scores_zero() -> None:
    scored = results.score_hole(HOLE, "f.py", "python", "", 1.0)
    assert (scored.has_answer, scored.is_exact, scored.is_first_line_match) == (False, False, False)
    assert (scored.edit_similarity, scored.identifier_f1, scored.kept_chars) == (0.0, 0.0, 0)


def test_hole_id_changes_with_any_character_of_the_file() -> None:
    first = results.score_hole(HOLE, "f.py", "python", "", 1.0)
    edited = Hole(Kind.LINE, Source("", "f.py", TEXT + "#"), 14, 19)
    assert first.id == results.score_hole(HOLE, "f.py", "python", "b = a", 9.0).id
    assert first.id != results.score_hole(edited, "f.py", "python", "", 1.0).id
    assert first.id != results.score_hole(HOLE, "g.py", "python", "", 1.0).id


def test_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    run = run_of(repository(tmp_path / "code"), lambda hole: hole.middle[:3] + "ö")
    results.write_run(run, tmp_path / "run.json")
    assert results.read_run(tmp_path / "run.json") == run


def test_scored_hole_without_texts_has_no_code() -> None:
    scored = results.score_hole(HOLE, "f.py", "python", "secret_suggestion", 1.0, has_texts=False)
    assert "secret_suggestion" not in scored.model_dump_json()
    assert "b = a" not in scored.model_dump_json()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a run of holes"),
        ('{"format": "starcoder-ls holes 0"}', "is not a run of holes"),
        ('{"format": "starcoder-ls holes 1", "holes": []}', "is damaged: made"),
    ],
)
def test_file_that_is_not_a_run_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        results.read_run(file)
    with pytest.raises(SettingsError, match=r"nothing\.json cannot be read"):
        results.read_run(tmp_path / "nothing.json")


def test_score_out_of_range_is_reported_as_damage(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    file = tmp_path / "run.json"
    results.write_run(run_of(repository(tmp_path / "code"), lambda _: ""), file)
    tree = json.loads(file.read_text())
    tree["holes"][0]["edit_similarity"] = 7
    file.write_text(json.dumps(tree))
    with pytest.raises(SettingsError, match=r"damaged: holes\.0\.edit_similarity"):
        results.read_run(file)


def test_unwritable_path_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        results.write_text("", tmp_path)


def test_secrets_are_masked_in_stored_texts() -> None:
    key = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    text = f'first = "{key}"\nsecond = "{key}"\nthird = 3\n'
    for start, end in ((0, text.index("\n")), (text.index("third"), len(text) - 1)):
        scored = results.score_hole(Hole(Kind.LINE, Source("", "k.py", text), start, end), "k.py", "python", "x", 1.0)
        assert "16C7e42F292c" not in scored.model_dump_json()
        assert scored.texts is not None


def test_secret_that_begins_before_the_cursor_is_masked_in_the_suggestion() -> None:
    text = 'password = "'
    hole = Hole(Kind.LINE, Source("", "k.py", text + 'x"'), len(text), len(text) + 2)
    scored = results.score_hole(hole, "k.py", "python", "hunter2" + 'hunter2"', 1.0)
    assert scored.texts is not None
    assert scored.texts.suggestion == 'xxxxxxxxxxxxxx"'
