"""Run every command many times beside busy processes, and count wrong exit codes.

    make exit-codes RUNS=8    or    python tests/support/run_exit_codes.py --times 8 [--only EXPRESSION] [--busy N]

Commands that answer run to their end. Servers and loading commands are ended in each documented way at a random time,
so that the end falls into imports, loading, generation and idleness. The exit code of this program is 1 if one of the
exit codes was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from exit_code_cases import SOURCE, Case, answering_cases, ended_cases, write_files
from isolation import isolated_environment
from starcoder_ls.daemon import connect_or_spawn, runtime_dir
from starcoder_ls.lsp.client import Client, ResponseFailed, start

COMMAND = [sys.executable, "-m", "starcoder_ls"]
MAX_CPU_S = 900
"""Processor time of a command; one that takes more ends by SIGXCPU, a wrong exit code. ``eval card`` takes the most:
120 s, which were 1,338 s of elapsed time beside 15 busy processes on 2 cores (2026-11-28)."""
TIMEOUT_S = 3600.0
"""Elapsed time, for a command that hangs without computing."""
MAX_DELAY_S = 10.0
"""A server is ended at a random time up to this long after its start."""


@dataclass(slots=True)
class Result:
    case: Case
    exit_codes: list[int | None] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def limit_processor_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def run_to_end(case: Case) -> tuple[int | None, str]:
    """Exit code and the end of standard error."""
    if case.output is not None:
        shutil.rmtree(case.output, ignore_errors=True)
    try:
        done = subprocess.run(
            [*COMMAND, *case.arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            preexec_fn=limit_processor_time,
        )
    except subprocess.TimeoutExpired:
        return None, "no end"
    return done.returncode, done.stderr


def run_and_signal(case: Case, delay_s: float) -> tuple[int | None, str]:
    """After ``delay_s``; a command that ended by itself before runs again, and is ended earlier."""
    process = subprocess.Popen(
        [*COMMAND, *case.arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit_processor_time,
    )
    assert process.stderr is not None
    if case.arguments[0] == "serve":
        while "listening on" not in (line := process.stderr.readline()):
            assert line, "the server ended before it listened"
    time.sleep(delay_s)
    has_ended = process.poll() is not None
    if not has_ended:
        process.send_signal(signal.Signals[case.end])
    _, errors = process.communicate(timeout=TIMEOUT_S)
    return run_and_signal(case, delay_s / 2) if has_ended else (process.returncode, errors)


async def run_server(case: Case, delay_s: float) -> tuple[int | None, str]:
    """A server over stdio with an open document and a request, ended after ``delay_s``."""
    async with start([*COMMAND, *case.arguments], stderr=subprocess.DEVNULL) as client:
        assert client.process is not None
        await client.initialize(None, {"textDocument": {"inlineCompletion": {}}})
        client.open("file:///work/items.py", SOURCE)
        await use(client, delay_s)
        if case.end == "shutdown and exit":
            await client.request("shutdown")
        if case.end in ("shutdown and exit", "exit only"):
            client.notify("exit")
        elif case.end == "end of input":
            client.close()
        else:
            client.process.terminate()
        return await asyncio.wait_for(client.process.wait(), TIMEOUT_S), ""


async def use(client: Client, delay_s: float) -> None:
    """Request completions for ``delay_s``, half of the times of a loaded model; the last one is not awaited."""
    if int(delay_s * 1000) % 2:
        while (await client.request("starcoder/status"))["phase"] != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    deadline_s = time.monotonic() + delay_s
    while time.monotonic() < deadline_s:
        with suppress(ResponseFailed):
            await client.inline_completion("file:///work/items.py", 5, 9)
        await asyncio.sleep(0.05)
    client.inline_completion("file:///work/items.py", 5, 9, is_invoked=True)


async def run_resident(case: Case, delay_s: float) -> tuple[int | None, str]:
    """A daemon with one client, started as a window starts it."""
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = Path(name) / "daemon.sock"
        listener.bind(os.fspath(path))
        listener.listen()
        command = [*COMMAND, "resident", str(listener.fileno()), str(path)]
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=(listener.fileno(),), stderr=asyncio.subprocess.PIPE
        )
        connection = await asyncio.to_thread(connect, path)
        client = Client(*await asyncio.open_unix_connection(sock=connection))
        await client.initialize(None, {"textDocument": {"inlineCompletion": {}}})
        client.open("file:///work/items.py", SOURCE)
        await use(client, delay_s)
        if case.end == "stop":
            query = runtime_dir.connect(path)
            assert query is not None
            await asyncio.to_thread(connect_or_spawn.exchange, query, {"query": "stop"}, TIMEOUT_S)
            query.close()
        else:
            process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
        client.close()
        await client.wait_closed()
        return process.returncode, errors.decode(errors="replace")


def connect(path: Path) -> socket.socket:
    connection = runtime_dir.connect(path)
    assert connection is not None
    assert connect_or_spawn.exchange(connection, {"window": 0, "folder": "/", "overlay": {}}, TIMEOUT_S)
    return connection


def run_case(case: Case, delay_s: float) -> tuple[int | None, str]:
    if not case.end:
        return run_to_end(case)
    if case.arguments[0] == "resident":
        return asyncio.run(run_resident(case, delay_s))
    if case.arguments[0] == "serve" and "--tcp" not in case.arguments:
        return asyncio.run(run_server(case, delay_s))
    return run_and_signal(case, delay_s)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute all the time, with the lowest priority."""
    processes = [
        subprocess.Popen(["nice", "-n", "19", sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(chosen: Sequence[Case], times: int, seed: int, console: Console) -> list[Result]:
    """Run each case ``times`` times, in turns, or until Ctrl-C; print each wrong exit code at once."""
    rng, results = random.Random(seed), [Result(case) for case in chosen]
    with suppress(KeyboardInterrupt):
        for result in results * times:
            delay_s = rng.uniform(0.0, MAX_DELAY_S)
            exit_code, errors = run_case(result.case, delay_s)
            result.exit_codes.append(exit_code)
            if exit_code not in result.case.expected or "terminate called" in errors:
                result.wrong.append(f"{exit_code} after {delay_s:.2f} s: {errors[-500:]}")
                console.print(f"{result.case.name}: {result.wrong[-1]}", markup=False)
    return results


def print_table(results: Sequence[Result], console: Console) -> None:
    table = Table("command", "runs", "exit codes", "wrong exit codes")
    for result in results:
        codes = ", ".join(map(str, sorted({code for code in result.exit_codes if code is not None})))
        table.add_row(result.case.name, str(len(result.exit_codes)), codes, str(len(result.wrong)))
    runs, wrong = (sum(len(getattr(result, name)) for result in results) for name in ("exit_codes", "wrong"))
    table.add_row("all", str(runs), "", str(wrong))
    console.print(table)
    console.print(f"{runs - wrong} of {runs} right; load {os.getloadavg()[0]:.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--busy", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only commands whose name matches this expression")
    parser.add_argument("--json", type=Path, default=None, help="write the exit codes to this file")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
    console = Console(highlight=False, width=120)
    with isolated_environment(), tempfile.TemporaryDirectory() as name, busy_processes(arguments.busy):
        folder = Path(name)
        write_files(folder)
        cases = [*answering_cases(folder), *ended_cases(folder)]
        chosen = [case for case in cases if re.search(arguments.only, case.name)]
        results = measure(chosen, arguments.times, arguments.seed, console)
    print_table(results, console)
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({result.case.name: result.exit_codes for result in results}), encoding="utf-8"
        )
    return 1 if any(result.wrong for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
