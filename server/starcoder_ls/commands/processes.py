"""``starcoder-ls ps``, ``stop`` and ``logs``: the resident processes of this user."""

from __future__ import annotations

import collections
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from starcoder_ls.commands.serve import log_file
from starcoder_ls.daemon import connect_or_spawn, runtime_dir
from starcoder_ls.errors import DaemonError

_ANSWER_S, _END_S = 5.0, 5.0


def asked(question: str) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Each process's answer, None where it does not answer. A socket without a process is removed."""
    if sys.platform == "win32":
        raise DaemonError("Windows has no resident process: each window has a server of its own.")
    for path in sorted(runtime_dir.runtime_dir().glob("*.sock")):
        if (connection := runtime_dir.connected(path)) is None:
            with runtime_dir.locked(path):
                if (connection := runtime_dir.connected(path)) is None:
                    path.unlink(missing_ok=True)
                    continue
        try:
            answer = connect_or_spawn.greeted(connection, {"ask": question}, _ANSWER_S)
        except DaemonError:
            answer = None
        connection.close()
        yield path, answer


def ps(is_json: bool) -> int:
    """0, also when there are none."""
    found = list(asked("status"))
    if is_json:
        print(json.dumps([{**(answer or {"phase": "does not answer"}), "socket": str(path)} for path, answer in found]))
        return 0
    if not found:
        print("No resident process. The first window starts one.")
        return 0
    table = Table("process", "model", "phase", "windows", "adapters", "device", "model memory", "up", box=None)
    for path, answer in found:
        table.add_row(*(_row(answer) if answer else ("?", path.name, "does not answer", *["?"] * 5)))
    Console(highlight=False).print(table)
    return 0


def _row(answer: dict[str, Any]) -> list[str]:
    up_s = time.time() - answer["sharing"]["startedAt"]
    return [
        str(answer["process"]),
        answer["model"] or "none yet",
        answer["phase"],
        str(answer["sharing"]["windows"]),
        ", ".join(held["name"] for held in answer["adapters"]) or "none",
        answer["device"] or "-",
        f"{answer['memoryBytes'] / 1e6:.0f} MB",
        f"{up_s / 60:.0f} min",
    ]


def stop() -> int:
    """0 if none is left; one that does not answer is killed if it can be told which it is."""
    left = 0
    for path, answer in asked("stop"):
        process = answer["process"] if answer else _process_behind(path)
        if process is None or not _has_ended(process, is_asked=answer is not None):
            print(f"The process behind {path} does not end. Find it with `ps` and kill it.", file=sys.stderr)
            left += 1
        else:
            if answer is None:
                path.unlink(missing_ok=True)
            print(f"process {process} has ended")
    return 1 if left else 0


def _has_ended(process_id: int, is_asked: bool) -> bool:
    try:
        process = psutil.Process(process_id)
        if not is_asked:
            process.kill()
        limit_s = time.monotonic() + _END_S
        while process.status() != psutil.STATUS_ZOMBIE:  # in a container often nobody waits for orphans
            if time.monotonic() > limit_s:
                return False
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return True


def _process_behind(path: Path) -> int | None:
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if line[-1:] == [str(path)] and "resident" in line:
            return int(process.pid)
    return None


def logs(lines: int) -> int:
    """1 if there is no log."""
    path = log_file()
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            last = collections.deque(file, maxlen=lines)
    except OSError as error:
        print(f"{path}: {error.strerror}.", file=sys.stderr)
        return 1
    print("".join(last), end="")
    return 0
