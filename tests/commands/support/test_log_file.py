from __future__ import annotations

import io
import logging
import re
import sys
from pathlib import Path

import pytest

from starcoder_ls.commands.support import log_file
from starcoder_ls.commands.support.log_file import EscapingFormatter, configure_last_resort
from starcoder_ls.lsp.client_info import read_client_info

HOSTILE = "x\n2026-01-01 00:00:00 1 ERROR forged: \x1b[2J\x1b]0;title\x07\r\x9b31m\u2028\u202e\ud800"

SOURCES = {
    "client name": lambda: read_client_info({"clientInfo": {"name": HOSTILE, "version": HOSTILE}}).name,
    "method": lambda: HOSTILE,
    "key of a file": lambda: KeyError(HOSTILE),
    "path": lambda: Path("/a") / HOSTILE,
}


def logged(level: int, message: str, *arguments: object, exc_info: bool = False) -> str:
    stream = io.StringIO()
    logger = logging.Logger("hostile\n")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(EscapingFormatter())
    logger.addHandler(handler)
    logger.log(level, message, *arguments, exc_info=exc_info)
    return stream.getvalue()


@pytest.mark.parametrize("source", SOURCES)
def test_hostile_value_is_one_printable_line(source: str) -> None:
    line, end = logged(logging.INFO, "client: %s", SOURCES[source]()).split("\n")
    assert line.isprintable()
    assert not end
    assert line.encode()


def test_message_itself_is_escaped() -> None:
    assert logged(logging.INFO, HOSTILE).count("\n") == 1


def test_lines_of_a_traceback_cannot_imitate_a_record() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        first, *traceback = logged(logging.ERROR, "failed", exc_info=True).splitlines()
    assert first.endswith("failed")
    assert traceback
    assert all(re.match(r"    \| ", line) and line.isprintable() for line in traceback)


def test_secret_in_a_name_or_an_exception_is_masked() -> None:
    secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    try:
        raise ValueError(f"token {secret}")
    except ValueError:
        text = logged(logging.ERROR, "%s failed", f"/work/{secret}.py", exc_info=True)
    assert secret not in text
    assert "/work/" in text
    assert "ValueError: token" in text


def test_long_line_is_cut() -> None:
    assert len(logged(logging.INFO, "x" * 100_000)) < 9_000


def test_handlers_of_a_server_and_of_commands_escape(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log_file, "log_file", lambda: tmp_path / "server.log")
    root, stderr = logging.Logger("root"), io.StringIO()
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr(sys, "stderr", stderr)
    log_file.configure_logging("info")
    root.warning("%s", HOSTILE)
    for handler in root.handlers:
        handler.close()
    for text in (stderr.getvalue(), (tmp_path / "server.log").read_text(encoding="utf-8")):
        assert text.count("\n") == 1
        assert text[:-1].isprintable()
    configure_last_resort()
    assert logging.lastResort is not None
    assert isinstance(logging.lastResort.formatter, EscapingFormatter)
    record = logging.makeLogRecord({"name": "a.b", "msg": "No cache.\x1b", "levelname": "WARNING"})
    assert logging.lastResort.format(record) == "starcoder-ls: No cache.\\x1b"


def test_no_other_module_formats_log_records() -> None:
    package = Path(log_file.__file__).parents[2]
    others = [path for path in package.rglob("*.py") if path != Path(log_file.__file__)]
    found = [
        path.name for path in others if re.search(r"basicConfig|StreamHandler|Formatter\(", path.read_text("utf-8"))
    ]
    assert not found


def test_level_of_the_log_can_only_be_lowered() -> None:
    root = logging.getLogger()
    before = root.level
    try:
        root.setLevel(logging.INFO)
        levels = []
        for level in ("error", "debug", "info"):
            log_file.log_in_more_detail(level)
            levels.append(root.level)
    finally:
        root.setLevel(before)
    assert levels == [logging.INFO, logging.DEBUG, logging.DEBUG]
