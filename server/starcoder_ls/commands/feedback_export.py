"""``starcoder-ls feedback export``: all that is stored about suggestions, one JSON object a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console

from starcoder_ls.atomic_files import write_atomically
from starcoder_ls.commands.feedback_show import describe_row
from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store.rows import read_rows

_STANDARD_OUTPUT = "-"


def run(file: Path, has_text: bool) -> int:
    """Write the rows to ``file``, which only the user can read. The exit code is 0.

    Raises FeedbackStoreUnreadable, also if ``file`` cannot be written.
    """
    lines = [json.dumps(describe_row(row, has_text), ensure_ascii=False) + "\n" for row in read_rows()]
    if str(file) == _STANDARD_OUTPUT:
        sys.stdout.writelines(lines)
        return 0
    try:
        _write("".join(lines).encode(), file)
    except OSError as error:
        raise FeedbackStoreUnreadable(f"{file} cannot be written ({error.strerror}). Choose another file.") from error
    Console(stderr=True).print(f"{len(lines):,} suggestions in {file}", style="dim", markup=False)
    return 0


def _write(content: bytes, file: Path) -> None:
    """A pipe or a device is written to, a regular file is replaced. Raises OSError."""
    if file.exists() and not file.is_file():
        file.write_bytes(content)
    else:
        write_atomically(file, content, mode=0o600)
