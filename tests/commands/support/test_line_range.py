from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from starcoder_ls.commands.support import line_range, source_position
from starcoder_ls.errors import DocumentExcluded, DocumentOutOfSync, SettingsError

CODE = "import os\n\n\ndef f(a):\n    return a\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_bytes(CODE.encode())
    return path


@pytest.mark.parametrize(
    ("lines", "code"),
    [("4-5", "def f(a):\n    return a"), ("5", "def f(a):\n    return a"), ("1-2", "import os"), ("1-1", "import os")],
)
def test_region_is_lines_or_the_function_at_a_line(file: Path, lines: str, code: str) -> None:
    _, target = line_range.read_target(f"{file}:{lines}", None)
    assert (target.code, target.language) == (code, "python")


@pytest.mark.parametrize("region", ["a.py", "a.py:", "a.py:x", "a.py:1-", ":1", "a.py:-1", "a.py:1-2-3"])
def test_malformed_region_is_an_error_with_an_example(region: str) -> None:
    with pytest.raises(SettingsError, match=r"src/app\.py:10-24|cannot be read"):
        line_range.read_target(region, None)


@pytest.mark.parametrize(
    ("lines", "message"), [("0-1", "lines 1 to 5"), ("4-6", "lines 1 to 5"), ("5-4", "Write .*:4-5")]
)
def test_missing_lines_are_an_error_with_the_existing_ones(file: Path, lines: str, message: str) -> None:
    with pytest.raises(DocumentOutOfSync, match=message):
        line_range.read_target(f"{file}:{lines}", None)


@pytest.mark.parametrize(("lines", "message"), [("1", "No function"), ("2-3", "are blank")])
def test_lines_without_code_are_an_error(file: Path, lines: str, message: str) -> None:
    with pytest.raises(DocumentOutOfSync, match=message):
        line_range.read_target(f"{file}:{lines}", None)


def test_error_says_that_a_file_is_empty_or_which_lines_to_name(file: Path) -> None:
    with pytest.raises(DocumentOutOfSync, match=r"of 1 to 5, as in .*a\.py:1-5\."):
        line_range.read_target(f"{file}:1", None)
    file.write_text("")
    with pytest.raises(DocumentOutOfSync, match="is empty"):
        line_range.read_target(f"{file}:1", None)


def test_excluded_file_is_an_error_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("made/\n")
    (tmp_path / "made").mkdir()
    for name, reason in ((".env", "looks like a secret"), ("made/a.py", "gitignore"), ("b.sql", "context.ignore")):
        (tmp_path / name).write_text("A = 1\n")
        with pytest.raises(DocumentExcluded, match=f"{reason}.*pipe it in"):
            line_range.read_target(f"{tmp_path / name}:1-1", None, ["*.sql"])
        with pytest.raises(DocumentExcluded, match=reason):
            line_range.whole_file(str(tmp_path / name), ["*.sql"])
    assert line_range.read_target(f"{tmp_path / '.env'}:1-1", None, ["!.env"])[1].code == "A = 1"


def test_read_only_file_is_not_written(file: Path, tmp_path: Path) -> None:
    source = line_range.read_source(str(file))
    file.chmod(0o444)
    with pytest.raises(SettingsError, match="read-only"):
        line_range.write_source(source, "new")
    assert file.read_text() == CODE
    assert os.listdir(tmp_path) == ["a.py"]


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.parametrize(
    ("before", "after"),
    [(CODE, "x\ny"), ("a\r\nb\r\n", "a\r\nc\r\n"), ("a", "a\nb"), ("a\x0cb\n", "c\n"), ("a\rb\r", "a\rc\r")],
)
def test_patch_applies_the_diff(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(before.encode())
    diff = line_range.unified_diff(line_range.read_source(str(file)), after)
    subprocess.run(["patch", "--binary", "-s", str(file)], input=diff.encode(), check=True)
    assert file.read_bytes() == after.encode()


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
def test_patch_applies_the_diff_of_a_path_with_blanks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my dir" / "my file.py"
    file.parent.mkdir()
    file.write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    diff = line_range.unified_diff(line_range.read_source("my dir/my file.py"), "x = 2\n")
    subprocess.run(["patch", "-p1", "-s"], input=diff.encode(), check=True)
    assert file.read_text() == "x = 2\n"


def test_write_keeps_the_mode_and_links(file: Path, tmp_path: Path) -> None:
    file.chmod(0o751)
    link = tmp_path / "link.py"
    link.symlink_to(file)
    line_range.write_source(line_range.read_source(str(link)), "é\r\n")
    assert file.read_bytes() == "é\r\n".encode()
    assert file.stat().st_mode & 0o777 == 0o751
    assert link.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["a.py", "link.py"]


def test_file_that_was_changed_meanwhile_is_not_written(file: Path, tmp_path: Path) -> None:
    source = line_range.read_source(str(file))
    file.write_text("other")
    with pytest.raises(SettingsError, match="changed meanwhile"):
        line_range.write_source(source, "new")
    assert file.read_text() == "other"
    assert os.listdir(tmp_path) == ["a.py"]


def test_error_names_a_file_that_cannot_be_read_or_written(tmp_path: Path, file: Path) -> None:
    with pytest.raises(SettingsError, match="There is no file"):
        line_range.read_source(str(tmp_path / "none.py"))
    (tmp_path / "b.py").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="UTF-8"):
        line_range.read_source(str(tmp_path / "b.py"))
    source = line_range.read_source(str(file))
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be written"):
        line_range.write_source(source, "new")


def test_bom_is_no_text_but_stays_in_the_file_and_in_the_diff(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes("\ufeffx = 1\ny = 2\n".encode())
    source, target = line_range.read_target(f"{file}:1-1", None)
    assert (target.text[target.start : target.end], source.text[0]) == ("x = 1", "x")
    assert line_range.unified_diff(source, "x = 3\ny = 2\n").splitlines()[3] == "-\ufeffx = 1"
    line_range.write_source(source, "x = 3\ny = 2\n")
    assert file.read_bytes() == "\ufeffx = 3\ny = 2\n".encode()


def test_endless_standard_input_is_refused_by_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_position, "MAX_DOCUMENT_BYTES", 10_240)
    with open("/dev/zero", encoding="utf-8") as endless:
        monkeypatch.setattr("sys.stdin", endless)
        for read in (lambda: line_range.read_source("-"), lambda: source_position.read_cursor("-:1:1")):
            with pytest.raises(SettingsError, match=r"tandard input cannot be read: it is longer than 10 KB\."):
                read()
