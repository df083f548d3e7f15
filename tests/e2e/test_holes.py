"""The installed command `eval holes` with a real server process and the bundled model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from repositories import repository

PROGRAM = [sys.executable, "-m", "starcoder_ls", "eval"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_holes_are_filled_reported_and_compared(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    folder = repository(tmp_path / "code")
    results, page = tmp_path / "one.json", tmp_path / "page.html"
    arguments = ["holes", str(folder), "-n", "3", "--seed", "2", "--kind", "line", "--kind", "rest"]
    filled = run(*arguments, "--json", str(results), "--html", str(page))
    assert filled.returncode == 0, filled.stderr
    assert "bundled on cpu, 6 holes, seed 2" in filled.stdout
    assert any(hole["has_answer"] for hole in json.loads(results.read_text(encoding="utf-8"))["holes"])
    assert "</html>" in page.read_text(encoding="utf-8")
    compared = run("compare", str(results), str(results))
    assert compared.returncode == 0, compared.stderr
    assert "one.json" in "".join(compared.stdout.split())  # a long path is broken over lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("holes", "/no/such/folder"), "no file or folder"),
        (("holes", ".", "--kind", "word"), "--kind word"),
        (("compare", "/no/such.json", "/no/such.json"), "cannot be read"),
    ],
)
def test_invalid_arguments_are_one_message_without_traceback(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("starcoder-ls: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
