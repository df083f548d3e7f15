"""Processor time that feedback takes on the event loop for a key: the edit, and a suggestion that is offered and shown.

    python benchmarks/run/feedback.py [KEYS]

A user types in a file of 400 functions; two of three suggestions are the rest of the one before. Prints µs per key for
each value of `feedback.keep`; with "nothing" it is what remains without feedback.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from typing import Any

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.generation import FinishReason, Timings
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.feedback import Feedback
from starcoder_ls.settings import Feedback as FeedbackSettings
from starcoder_ls.settings import Settings

URI, PATH = "file:///project/app.py", "/project/app.py"
CODE = "".join(f"def function_{number}(a, b):\n    return a + b * {number}\n\n" for number in range(400))
LINE, TYPED, MAX_COLUMN = CODE.count("\n"), "value_of(thing, other)", 60


def measure(keep: Any, keys: int) -> tuple[float, float]:
    """Microseconds of this thread for a key: of the edit, and of the suggestion."""
    documents = Documents()
    documents.open(URI, "python", 1, f"{CODE}x = \nend\n")
    settings = ClientSettings(Settings(feedback=FeedbackSettings(keep=keep)), lambda _: None)
    handle = asyncio.TimerHandle(0.0, print, (), asyncio.get_running_loop())
    feedback = Feedback(settings, documents, lambda: "bundled", lambda _: None, lambda *_: handle)
    edit_s = offer_s = 0.0
    version, column = 1, 4
    for key in range(keys):
        if column > MAX_COLUMN:
            version, column = version + 1, 4
            documents.change(URI, version, [Edit("", Position(LINE, 4), Position(LINE, MAX_COLUMN + 1))])
        version += 1
        edit = Edit(TYPED[key % len(TYPED)], Position(LINE, column), Position(LINE, column))
        started_s = time.thread_time()
        documents.change(URI, version, [edit])
        edit_s += time.thread_time() - started_s
        column += 1
        text, offset = documents.get(URI).text, len(CODE) + column
        rest = TYPED[(key + 1) % len(TYPED) :] if key % 3 else f"other_{key}(a)"
        suggestion = Suggestion(rest, offset, offset, FinishReason.STOP_RULE, 9, 3, Timings())
        cursor = Cursor(text, offset, "python", PATH, URI)
        started_s = time.thread_time()
        for suggestion_key in feedback.offer(cursor, [suggestion]) or []:
            if suggestion_key is not None:
                feedback.on_shown(suggestion_key)
        offer_s += time.thread_time() - started_s
    feedback.close()
    return 1e6 * edit_s / keys, 1e6 * offer_s / keys


async def main() -> None:
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 1_500
    print("| `feedback.keep` | edit, µs | suggestion, µs |\n|---|---|---|")
    for keep in ("nothing", "outcomes", "text"):
        edit_us, offer_us = measure(keep, keys)
        print(f"| {keep} | {edit_us:.1f} | {offer_us:.1f} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STARCODER_LS_STATE"] = folder
        asyncio.run(main())
