"""``starcoder-ls ps``, ``stop`` and ``logs``: the daemons of this user."""

from __future__ import annotations

import collections
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from starcoder_ls.commands.support import crash_report
from starcoder_ls.commands.support.log_file import log_file
from starcoder_ls.daemon import connect_or_spawn, runtime_dir
from starcoder_ls.errors import DaemonError

_ANSWER_TIMEOUT_S, _STOP_ANSWER_TIMEOUT_S = 5.0, 2.0
_EXIT_TIMEOUT_S, _KILL_TIMEOUT_S, _POLL_INTERVAL_S = 3.0, 2.0, 0.02


def query_daemons(query: str, timeout_s: float = _ANSWER_TIMEOUT_S) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """The socket of each daemon and its answer, None if it does not answer. Sockets without a process are removed.

    Raises DaemonError on Windows, which has no daemon.
    """
    if sys.platform == "win32":
        raise DaemonError("There is no daemon on Windows: each window has a server of its own.")
    for path in sorted(runtime_dir.runtime_dir().glob("*.sock")):
        if (connection := runtime_dir.connect(path)) is None:
            with runtime_dir.lock(path):
                if (connection := runtime_dir.connect(path)) is None:
                    path.unlink(missing_ok=True)
                    continue
        try:
            answer = connect_or_spawn.exchange(connection, {"query": query}, timeout_s)
        except DaemonError:
            answer = None
        connection.close()
        yield path, answer


def ps(is_json: bool) -> int:
    """List the daemons. The exit code is 0, also if there is none."""
    daemons = list(query_daemons("status"))
    if is_json:
        rows = [{**(answer or {"phase": "does not answer"}), "socket": str(path)} for path, answer in daemons]
        print(json.dumps(rows))
        return 0
    if not daemons:
        print("No daemon is running. The first window starts one.")
        return 0
    table = Table("process", "model", "phase", "windows", "adapters", "device", "model memory", "up", box=None)
    for path, answer in daemons:
        table.add_row(*(_cells(answer) if answer else ("?", path.name, "does not answer", *["?"] * 5)))
    Console(highlight=False).print(table)
    return 0


def _cells(answer: dict[str, Any]) -> list[str]:
    up_s = time.time() - answer["sharing"]["startedAt"]
    return [
        str(answer["process"]),
        answer["model"] or "none yet",
        answer["phase"],
        str(answer["sharing"]["windows"]),
        ", ".join(adapter["name"] for adapter in answer["adapters"]) or "none",
        answer["device"] or "-",
        f"{answer['memoryBytes'] / 1e6:.0f} MB",
        f"{up_s / 60:.0f} min",
    ]


def stop() -> int:
    """Stop all daemons, each within 5 s; kill those that do not answer or exit. The exit code is 0 if none is left.

    A daemon that spins in a C function, or that was stopped by a signal, does not handle SIGTERM.
    """
    remaining = 0
    for path, answer in query_daemons("stop", _STOP_ANSWER_TIMEOUT_S):
        process_id = answer["process"] if answer else _process_of_socket(path)
        if process_id is None or not wait_for_exit(process_id, is_killed=answer is None):
            print(f"The daemon at {path} does not exit. Find its process with `ps` and kill it.", file=sys.stderr)
            remaining += 1
        else:
            _remove_socket(path)
            print(f"process {process_id} has ended")
    return 1 if remaining else 0


def wait_for_exit(process_id: int, is_killed: bool, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Whether the process ends. It is killed at once if ``is_killed``, else if it has not ended after 3 s.

    A zombie has ended: in a container often no process reaps orphans. Not so while threads of it are left, which a busy
    machine ends late: until then its socket accepts connections.
    """
    try:
        process = psutil.Process(process_id)
        deadline_s = time.monotonic() + (0.0 if is_killed else _EXIT_TIMEOUT_S)
        while process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1:
            if time.monotonic() > deadline_s + _KILL_TIMEOUT_S:
                return False
            if time.monotonic() > deadline_s:
                process.kill()
            sleep(_POLL_INTERVAL_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return True


def _remove_socket(path: Path) -> None:
    """The socket of a killed daemon, unless another daemon has replaced it."""
    with runtime_dir.lock(path):
        if (connection := runtime_dir.connect(path)) is None:
            path.unlink(missing_ok=True)
        else:
            connection.close()


def _process_of_socket(path: Path) -> int | None:
    """The process id of the daemon that was spawned for ``path``."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[-1:] == [str(path)] and any(argument.endswith("resident") for argument in command):
            return int(process.pid)
    return None


def logs(lines: int) -> int:
    """Print the last lines of the log. The exit code is 1 if there is no log."""
    path = log_file()
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            last_lines = collections.deque(file, maxlen=lines)
    except OSError as error:
        print(f"{path}: {error.strerror}.", file=sys.stderr)
        return 1
    print("".join(last_lines) + crash_report.render(), end="")
    return 0
