"""An engine that records when it generates each token, also those that nobody receives.

``make_engine`` makes one from settings. Each process appends the times to a file of its own, which has the name of the
process; ``read_times`` reads all of them.
"""

from __future__ import annotations

import os
import time
from array import array
from pathlib import Path

from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.engine.scheduling.request_queue import ScheduledRequest
from starcoder_ls.generation import Engine
from starcoder_ls.output_stream import Output
from starcoder_ls.settings import Settings

FOLDER = "COUNTED_TOKENS"
"""The variable that has the folder of the files."""


class CountingEngine(LocalEngine):
    """``file`` is open for appending."""

    def __init__(self, settings: Settings, file: int) -> None:
        super().__init__(settings.model, settings.resident_adapters())
        self._file = file

    def _submit(self, scheduled: ScheduledRequest) -> None:
        put = scheduled.output.put

        def record(output: Output) -> None:
            if isinstance(output, tuple) and (count := sum(len(chunk.token_ids) for chunk in output)):
                os.write(self._file, array("q", [time.monotonic_ns()] * count).tobytes())
            put(output)

        scheduled.output.put = record  # type: ignore[method-assign]
        super()._submit(scheduled)


def make_engine(settings: Settings) -> Engine:
    """The engine of this process."""
    file = Path(os.environ[FOLDER]) / str(os.getpid())
    return CountingEngine(settings, os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY))


def read_times(folder: Path) -> list[int]:
    """When tokens were generated, in nanoseconds of the machine's monotonic clock, in order."""
    times = array("q")
    for file in folder.iterdir():
        times.frombytes(file.read_bytes())
    return sorted(times)
