from __future__ import annotations

from pathlib import Path

import pytest

from repositories import SHOP, repository, run_of
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import html_report, results
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Kind
from starcoder_ls.evaluation.repository import Repository, path_of


def test_no_hole_is_drawn_in_ignored_or_secret_files(tmp_path: Path) -> None:
    files = Repository([repository(tmp_path)], ["täglich.py"])
    assert [Path(path).relative_to(tmp_path.resolve()).as_posix() for path in files.files] == [
        "shop/shop.py", "web/list.js",
    ]  # fmt: skip
    for hole in files.draw_holes(SYNTAX_KINDS, 50, 0):
        assert path_of(hole.source).read_text() == hole.source.text
        assert "Ignored" not in hole.source.text
        assert "Secret" not in hole.source.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("build", "no source files"),
        ("build/made.py", ".gitignore names it"),
        (".aws/shop.py", "looks like a secret"),
        ("notes.txt", "is no source code"),
        ("nowhere", "no file or folder"),
    ],
)
def test_path_without_source_files_is_rejected_with_the_reason(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Repository([repository(tmp_path) / name])


def test_workspace_is_the_repository_around_a_file(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    files = Repository([folder / "shop" / "shop.py", folder / "web"])
    assert files.folders == [folder.resolve()]
    assert len(files.files) == 2


def test_names_are_relative_to_the_workspace_folders(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "other"
    for folder in (first, second):
        folder.mkdir()
        repository(folder)
    hole = Repository([first / "shop" / "shop.py"]).draw_holes([Kind.LINE], 1, 0)[0]
    assert Repository([first]).name_of(hole.source) == "shop/shop.py"
    assert Repository([first, second]).name_of(hole.source) == "one/shop/shop.py"


def test_repository_keeps_only_the_chosen_languages(tmp_path: Path) -> None:
    files = Repository([repository(tmp_path)], languages=["javascript"])
    assert {files.language_of(hole.source.path) for hole in files.draw_holes([Kind.LINE], 9, 0)} == {"javascript"}
    with pytest.raises(SettingsError, match="no source files in cobol"):
        Repository([tmp_path], languages=["cobol"])


def test_files_without_code_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("# words, and no code\n")
    with pytest.raises(SettingsError, match="no code that is long enough"):
        Repository([tmp_path]).draw_holes(SYNTAX_KINDS, 3, 0)


def test_same_seed_draws_the_same_holes_in_a_copy(tmp_path: Path) -> None:
    drawn = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        repository(folder)
        holes = Repository([folder]).draw_holes(SYNTAX_KINDS, 5, 3)
        drawn.append([(hole.kind, hole.source.path, hole.start, hole.end) for hole in holes])
    assert drawn[0] == drawn[1]
    assert any(SHOP[start:end] for _, path, start, end in drawn[0] if path == "shop/shop.py")


def test_results_and_reports_of_runs_are_no_source_files(tmp_path: Path) -> None:
    folder = repository(tmp_path)
    run = run_of(folder, lambda hole: hole.middle)
    results.write_run(run, folder / "web" / "before.json")
    results.write_text(html_report.render_html(run), folder / "report.html")
    (folder / "web" / "page.html").write_text("<html>\n<head>\n<title>Shop</title>\n</head>\n</html>\n")
    files = Repository([folder])
    assert [Path(file).name for file in files.outputs] == ["report.html"]
    assert [Path(file).name for file in files.files] == ["shop.py", "täglich.py", "list.js", "page.html"]
