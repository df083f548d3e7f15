from __future__ import annotations

import json
from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import results
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.learning.sources import Source

TEXT = "def f(a):\n    b = a\n    return b\n"
HOLE = Hole(Kind.LINE, Source("", "f.py", TEXT), 14, 19)


def test_a_filled_hole_has_its_place_and_every_score() -> None:
    filled = results.filled(HOLE, "f.py", "python", "b = c", 12.3456)
    assert (filled.path, filled.line, filled.kind) == ("f.py", 2, Kind.LINE)
    assert (filled.has_answer, filled.is_exact, filled.is_first_line_match) == (True, False, False)
    assert (filled.edit_similarity, filled.identifier_f1) == (0.8, 0.5)
    assert (filled.kept_chars, filled.shown_chars, filled.elapsed_ms) == (4, 5, 12.35)
    assert filled.texts == results.Texts(before="def f(a):\n    ", truth="b = a", suggestion="b = c")


def test_silence_scores_nothing() -> None:
    filled = results.filled(HOLE, "f.py", "python", "", 1.0)
    assert (filled.has_answer, filled.is_exact, filled.is_first_line_match) == (False, False, False)
    assert (filled.edit_similarity, filled.identifier_f1, filled.kept_chars) == (0.0, 0.0, 0)


def test_a_hole_is_another_when_any_letter_of_its_file_is() -> None:
    one = results.filled(HOLE, "f.py", "python", "", 1.0)
    edited = Hole(Kind.LINE, Source("", "f.py", TEXT + "#"), 14, 19)
    assert one.id == results.filled(HOLE, "f.py", "python", "b = a", 9.0).id
    assert one.id != results.filled(edited, "f.py", "python", "", 1.0).id
    assert one.id != results.filled(HOLE, "g.py", "python", "", 1.0).id


def test_a_run_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    run = run_of(repository(tmp_path / "code"), lambda hole: hole.middle[:3] + "ö")
    results.write(run, tmp_path / "run.json")
    assert results.read(tmp_path / "run.json") == run


def test_without_texts_no_code_is_kept() -> None:
    filled = results.filled(HOLE, "f.py", "python", "secret_suggestion", 1.0, has_texts=False)
    assert "secret_suggestion" not in filled.model_dump_json()
    assert "b = a" not in filled.model_dump_json()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a run of holes"),
        ('{"format": "starcoder-ls holes 0"}', "is not a run of holes"),
        ('{"format": "starcoder-ls holes 1", "holes": []}', "is damaged: made"),
    ],
)
def test_what_is_no_run_is_refused_with_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(SettingsError, match=said):
        results.read(file)
    with pytest.raises(SettingsError, match=r"nothing\.json cannot be read"):
        results.read(tmp_path / "nothing.json")


def test_a_changed_score_is_damage(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    file = tmp_path / "run.json"
    results.write(run_of(repository(tmp_path / "code"), lambda _: ""), file)
    tree = json.loads(file.read_text())
    tree["holes"][0]["edit_similarity"] = 7
    file.write_text(json.dumps(tree))
    with pytest.raises(SettingsError, match=r"damaged: holes\.0\.edit_similarity"):
        results.read(file)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        results.write_text("", tmp_path)


def test_strings_that_look_like_secrets_are_masked_in_what_is_kept() -> None:
    key = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    text = f'first = "{key}"\nsecond = "{key}"\nthird = 3\n'
    for start, end in ((0, text.index("\n")), (text.index("third"), len(text) - 1)):
        filled = results.filled(Hole(Kind.LINE, Source("", "k.py", text), start, end), "k.py", "python", "x", 1.0)
        assert "16C7e42F292c" not in filled.model_dump_json()
        assert filled.texts is not None
