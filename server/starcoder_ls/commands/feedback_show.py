"""``starcoder-ls feedback show``: how much is stored about suggestions, and the newest ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from starcoder_ls.feedback_store import schema
from starcoder_ls.feedback_store.rows import FeedbackRow, read_rows
from starcoder_ls.printable import escape_control_characters

_MAX_PRINTED_CHARS = 200


def run(number: int, has_text: bool, is_json: bool) -> int:
    """Print the summary and the newest ``number`` rows. The exit code is 1 if nothing is stored.

    Raises FeedbackStoreUnreadable.
    """
    rows = read_rows()
    summary, newest = _summary(rows), rows[len(rows) - min(number, len(rows)) :]
    if is_json:
        print(json.dumps(summary | {"newest": [describe_row(row, has_text) for row in newest]}, ensure_ascii=False))
        return 0 if rows else 1
    console = Console(highlight=False, markup=False)
    if not rows:
        console.print(f"nothing is stored in {summary['file']}")
        return 1
    console.print(
        f"{summary['suggestions']:,} suggestions since {_time(rows[0])}, {summary['with_text']:,} of them with text, "
        f"in {summary['files']:,} documents; {summary['bytes'] / 1e6:.1f} MB in {summary['file']}"
    )
    if newest:
        console.print(_table(newest, has_text))
    return 0


def describe_row(row: FeedbackRow, has_text: bool) -> dict[str, Any]:
    """The columns of ``row`` as JSON, with ``features`` as an object; the texts only if ``has_text``."""
    described = asdict(row) | {"features": row.parsed_features}
    return described if has_text else {name: value for name, value in described.items() if name not in schema.TEXTS}


def _summary(rows: Sequence[FeedbackRow]) -> dict[str, Any]:
    path = schema.store_file()
    return {
        "file": str(path),
        "bytes": path.stat().st_size if path.exists() else 0,
        "suggestions": len(rows),
        "with_text": sum(row.suggestion is not None for row in rows),
        "files": len({row.path_hash for row in rows} - {None}),
    }


def _table(rows: Sequence[FeedbackRow], has_text: bool) -> Table:
    table = Table("shown at", "language", "outcome", "characters", "there after 30 s", box=None)
    for name in ("suggestion", "written instead") if has_text else ():
        table.add_column(name)
    for row in rows:
        percent = "" if row.match_percent is None else f"{row.match_percent} %"
        cells = [_time(row), row.language, row.outcome, str(row.chars), percent]
        table.add_row(*cells, *((_printable(row.suggestion), _printable(row.text_30s)) if has_text else ()))
    return table


def _time(row: FeedbackRow) -> str:
    return datetime.fromtimestamp(row.shown_at).astimezone().strftime("%Y-%m-%d %H:%M")


def _printable(text: str | None) -> str:
    return escape_control_characters((text or "")[:_MAX_PRINTED_CHARS], keep="\n")
