from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.commands import act
from starcoder_ls.commands.support import line_range


def test_edit_is_printed_as_a_diff_or_written(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"a\r\nb\r\n")
    source = line_range.read_source(str(file))
    act.write_or_print_diff(source, "a\r\nc\r\n", is_written=False)
    assert capfdbinary.readouterr().out.endswith(b"\n a\r\n-b\r\n+c\r\n")
    assert file.read_bytes() == b"a\r\nb\r\n"
    act.write_or_print_diff(source, "a\r\nc\r\n", is_written=True)
    assert file.read_bytes() == b"a\r\nc\r\n"
