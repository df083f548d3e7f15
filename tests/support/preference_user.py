"""A simulated user of known taste: errors are AppErrors, where the model suggests those of the language.

In each function a suggestion was rejected; the feedback store then has what the user wrote.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from starcoder_ls.feedback_store import path_hash, schema
from starcoder_ls.feedback_store.rows import FIELDS, FeedbackRow

NOUNS = (
    "order",
    "invoice",
    "parcel",
    "ticket",
    "seat",
    "route",
    "lamp",
    "engine",
    "wheel",
    "garden",
    "letter",
    "stamp",
)
VERBS = ("load", "save", "check", "send", "find", "close", "open", "count", "print", "merge")
TASTE = "AppError"
REJECTED = "ValueError"


def cursors(count: int, seed: int = 1) -> Iterator[tuple[str, str, str]]:
    """Texts before and after ``count`` different cursors, and the name that the user would pass."""
    rng = random.Random(seed)
    functions = [(verb, noun) for verb in VERBS for noun in NOUNS]
    for verb, noun in rng.sample(functions, count):
        before = f"def {verb}_{noun}({noun}, limit):\n    if {noun} is None or {noun}.size > limit:\n        raise "
        yield before, f"\n    return {noun}.{verb}(limit)\n", noun


def written(name: str) -> str:
    return f"{TASTE}({name})"


def record_feedback(folder: Path, count: int = 80, files: int = 10, kept: int = 0) -> None:
    """``count`` rejected suggestions in the store of this process's state folder; of ``files`` files in ``folder``.

    The first ``kept`` of them were accepted afterwards as the user wants them.
    """
    file = schema.store_file()
    key = path_hash.read_or_create_key(path_hash.key_file(file))
    rows: list[FeedbackRow] = []
    for number, (before, after, name) in enumerate(cursors(count)):
        own, suggested = written(name), f"{REJECTED}({name})"
        row = FeedbackRow(
            f"r{number}", time.time() + number, "rejected", "python", "bundled", None, "model", len(suggested), 1, 0,
            None, before, after, suggested, match_percent=0, text_10s=own, text_30s=f"{own}\n",
            path_hash=path_hash.hash_path(str(folder / f"module_{number % files}.py"), key),
        )  # fmt: skip
        rows.append(row)
        if number < kept:
            changes = {"id": f"a{number}", "outcome": "accepted", "suggestion": own, "match_percent": 100}
            rows.append(replace(row, **changes, kept_percent=100))  # type: ignore[arg-type]
    with contextlib.closing(sqlite3.connect(file)) as database:
        schema.prepare(database)
        values = ", ".join(f":{name}" for name in FIELDS)
        database.executemany(f"insert into suggestions ({', '.join(FIELDS)}) values ({values})", map(asdict, rows))
        database.commit()
