"""``starcoder-ls feedback forget``: deletes what is stored about suggestions."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from starcoder_ls.feedback_store.limits import Forgotten, forget


def run(file: Path | None, before: datetime | None, is_text_only: bool) -> int:
    """Delete the rows of ``file``, those from before ``before``, all texts, or without any of these all rows.

    The exit code is 0. Raises FeedbackStoreUnreadable.
    """
    before_s = None if before is None else before.astimezone().timestamp()
    count = forget(Forgotten(file, before_s, is_text_only))
    print(f"deleted: {'the text of ' if is_text_only else ''}{count:,} suggestion{'' if count == 1 else 's'}")
    return 0
