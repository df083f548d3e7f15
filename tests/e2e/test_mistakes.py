"""Typical mistakes of users: each is answered by a sentence or two on one line that says what to change."""

from __future__ import annotations

import io
import re
import runpy
from pathlib import Path

import pytest

from starcoder_ls import __main__
from starcoder_ls.__main__ import _run

FILES = {
    "app.py": "def total(items):\n    return sum(items)\n",
    "typo.toml": '[model]\nnmae = "bundled"\n',
    "section.toml": '[adapter.ours]\npath = "/models/ours"\n',
    "text.toml": "[model]\nname = bundled\n",
    "value.toml": '[model]\nquantization = "int2"\n',
    "type.toml": '[inline_completion]\nprompt_tokens = "many"\n',
    "utf16.toml": "\ufeff[model]".encode("utf-16-le"),
    "model.gguf": "weights",
    "pickles/config.json": "{}",
    "words/adapter.txt": "no adapter",
}
MISTAKES = [
    ("complete nowhere.py:1:1", "There is no file nowhere.py. Correct the path."),
    ("complete app.py:99:1", "There is no line 99: the text has 3."),
    ("complete app.py", "'app.py' is not FILE:LINE:COL. Write for example src/app.py:12:5, lines and columns from 1."),
    ("explain app.py:2-1", "2-1 ends before it begins. Write app.py:1-2."),
    (
        "complete app.py:1:1 --model ./nowhere",
        "There is no folder nowhere. Correct `model.name`, or give a Hub id such",
    ),
    (
        "complete app.py:1:1 --model model.gguf",
        "model.gguf is a file, and a model or adapter is a folder as on the Hub,",
    ),
    (
        "complete app.py:1:1 --model ./words",
        "words has no config.json, so it is not a checkpoint. Correct `model.name`.",
    ),
    (
        "complete app.py:1:1 --model owner/absent",
        "the environment variable HF_HUB_OFFLINE forbids to download it. Unset",
    ),
    ("complete app.py:1:1 --settings typo.toml", "there is no setting `model.nmae`. Did you mean `model.name`?"),
    ("complete app.py:1:1 --settings section.toml", "there is no setting `adapter`. Did you mean `adapters`?"),
    (
        "complete app.py:1:1 --settings text.toml",
        "text.toml is not valid TOML: Invalid value (at line 2, column 8). Correct",
    ),
    (
        "complete app.py:1:1 --settings value.toml",
        "`model.quantization` cannot be 'int2': input should be 'none', 'int8',",
    ),
    (
        "complete app.py:1:1 --settings type.toml",
        "`inline_completion.prompt_tokens` cannot be 'many': a whole number is needed.",
    ),
    ("complete app.py:1:1 --settings utf16.toml", "utf16.toml is not UTF-8 text. Save it as UTF-8, or remove it."),
    (
        "complete app.py:1:1 --settings nowhere.toml",
        "There is no settings file nowhere.toml. Create it or use another path.",
    ),
    (
        "complete app.py:1:1 --adapter ours",
        "the settings have no adapter of that name (there are: explain), and there is",
    ),
    (
        "complete app.py:1:1 --device gpu",
        "`model.device` cannot be 'gpu': input should be 'auto', 'cuda', 'mps' or 'cpu'.",
    ),
    (
        "act refactor app.py:1",
        "There is no action 'refactor'. There are: ask, document, explain, fix, rewrite, simplify,",
    ),
    ("explain app.py:1 --language pyhton", "There is no language 'pyhton'. Did you mean 'python'?"),
    ("setup", "there is no terminal to ask whether to use"),
    ("eval holes words", "There are no source files in words that a prompt may hold."),
    ("eval compare app.py app.py", "app.py is not JSON"),
]
USAGE_ERRORS = [
    ("compelte app.py:1:1", "No such command 'compelte'. Did you mean 'complete'?"),
    ("complete app.py:1:1 --modle bundled", "No such option: --modle. Did you mean --model?"),
    ("doctor --modle bundled", "No such option: --modle"),
]


def answer_to(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["starcoder-ls", *line.split()])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "cache"))
    assert _run() in (1, 2)
    return capsys.readouterr().err


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistake_is_answered_on_one_line(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [answer] = answer_to(line, tmp_path, monkeypatch, capsys).splitlines()
    assert answer.startswith("starcoder-ls: ")
    assert message in answer
    assert answer.endswith((".", "?"))
    assert len(answer) < 300


def test_old_python_is_named_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 13))
    with pytest.raises(SystemExit, match=r"^starcoder-ls needs Python 3\.11 or newer, and this is 3\.10\. Use another"):
        runpy.run_path(str(__main__.__file__), run_name="another")


@pytest.mark.parametrize(("line", "message"), USAGE_ERRORS, ids=[line for line, _ in USAGE_ERRORS])
def test_unknown_command_or_option_is_named(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answer_to(line, tmp_path, monkeypatch, capsys)
    assert message in " ".join(re.sub(r"[│╭╮╰╯─]", " ", answer).split())
