"""Memory, descriptors and threads of processes, read from /proc. Linux only."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_KIB = 1024
_PRIVATE = ("Private_Clean", "Private_Dirty", "Private_Hugetlb")


@dataclass(frozen=True, slots=True)
class Sample:
    """Sizes are in bytes. ``anonymous`` includes what was swapped out; ``unique`` (USS) is in no other process."""

    time_s: float
    resident: int
    anonymous: int
    unique: int
    descriptors: int
    threads: int


def _fields(path: Path) -> dict[str, int]:
    """The lines ``name: number …`` of a file in /proc."""
    pairs = (
        line.split(":", 1) for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if ":" in line
    )
    return {name: int(value.split()[0]) for name, value in pairs if value.split() and value.split()[0].isdecimal()}


def read_sample(process_id: int, time_s: float) -> Sample | None:
    """None if the process has ended."""
    folder = Path("/proc") / str(process_id)
    try:
        status, rollup = _fields(folder / "status"), _fields(folder / "smaps_rollup")
        descriptors = len(os.listdir(folder / "fd"))
    except (OSError, ValueError):
        return None
    if "VmRSS" not in status:
        return None  # a zombie
    return Sample(
        time_s,
        status["VmRSS"] * _KIB,
        (status["RssAnon"] + status.get("VmSwap", 0)) * _KIB,
        sum(rollup.get(name, 0) for name in _PRIVATE) * _KIB,
        descriptors,
        status["Threads"],
    )


def _process_ids() -> Iterator[int]:
    yield from (int(name) for name in os.listdir("/proc") if name.isdecimal())


def daemon_ids(runtime_folder: Path) -> list[int]:
    """The processes whose last argument is a socket in ``runtime_folder``."""
    found = []
    for process_id in _process_ids():
        with contextlib.suppress(OSError):
            arguments = Path(f"/proc/{process_id}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if arguments[-1].startswith(os.fsencode(runtime_folder) + b"/"):
                found.append(process_id)
    return found


def processes_with_variable(name: str, value: str) -> list[int]:
    """The processes that were started with this environment variable."""
    entry, found = os.fsencode(f"{name}={value}"), []
    for process_id in _process_ids():
        with contextlib.suppress(OSError):
            if entry in Path(f"/proc/{process_id}/environ").read_bytes().split(b"\0"):
                found.append(process_id)
    return found


class SampleLog:
    """The samples of all processes, by name and process id."""

    def __init__(self) -> None:
        self.by_process: dict[tuple[str, int], list[Sample]] = defaultdict(list)

    def record(self, name: str, process_id: int, time_s: float) -> None:
        if (sample := read_sample(process_id, time_s)) is not None:
            self.by_process[name, process_id].append(sample)

    def as_json(self) -> list[dict[str, Any]]:
        """One object per process, with a list of numbers for each quantity."""
        return [
            {
                "name": name,
                "process": process_id,
                **{field: [asdict(sample)[field] for sample in samples] for field in Sample.__slots__},
            }
            for (name, process_id), samples in self.by_process.items()
        ]
