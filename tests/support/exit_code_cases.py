"""The command lines that ``run_exit_codes`` runs, with their right exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MAKE_ADAPTER = Path(__file__).parents[2] / "benchmarks" / "lib" / "soak" / "make_adapter.py"
SOURCE = """import json


def load(path):
    '''Return the items of a file.'''
    with open(path) as file:
        return json.load(file)


"""
PROBLEM = {"language": "py", "prompt": "def f(a):\n    return ", "suffix": "\n", "canonical_solution": "a"}
TASKS = ("explain", "fix", "test", "ask")
"""Of the adapter that ``adapters add`` writes to the settings."""


@dataclass(frozen=True, slots=True)
class Case:
    """A command line that ends by itself, or by ``end`` at a random time. ``expected`` are the right exit codes."""

    name: str
    arguments: tuple[str, ...]
    expected: tuple[int, ...] = (0,)
    end: str = ""
    output: Path | None = None
    """A folder that must not exist when the command starts."""


def write_files(folder: Path) -> None:
    """Write what the commands read: code, a problem for ``eval infilling``, an adapter."""
    code = folder / "code"
    code.mkdir()
    for name, text in (("items", SOURCE), ("many", SOURCE * 20)):
        (code / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "problems.jsonl").write_text(json.dumps(PROBLEM), encoding="utf-8")
    command = [sys.executable, str(MAKE_ADAPTER), str(folder / "adapter"), "1"]
    subprocess.run(command, check=True, capture_output=True)


def answering_cases(folder: Path) -> list[Case]:
    """Commands that end by themselves, in an order in which each finds the files that it needs.

    Training is missing: it uses no engine and takes minutes.
    """
    code, adapter, holes = folder / "code", str(folder / "adapter"), str(folder / "holes.json")
    line = f"{code / 'items.py'}:6"
    tasks = [argument for task in TASKS for argument in ("--task", task)]
    return [
        Case("--help", ("--help",)),
        Case("--version", ("--version",)),
        Case("ps", ("ps",)),
        Case("ps --json", ("ps", "--json")),
        Case("setup", ("setup", "--yes", "--no-fetch", "--model", "bundled")),
        Case("complete", ("complete", f"{line}:10", "--json"), (0, 1)),
        Case("complete -n 3", ("complete", f"{line}:10", "-n", "3"), (0, 1)),
        Case("complete, missing file", ("complete", "missing.py:1:1"), (1,)),
        Case("explain", ("explain", line)),
        Case("explain --json", ("explain", line, "--json")),
        Case("act document", ("act", "document", line), (0, 1)),
        Case("act fix, no adapter", ("act", "fix", line), (1,)),
        Case("act test, no adapter", ("act", "test", line), (1,)),
        Case("ask, no adapter", ("ask", "What is a list?"), (1,)),
        Case("doctor", ("doctor",)),
        Case("doctor, missing model", ("doctor", "--model", "/no/such/folder"), (1,)),
        Case("demo", ("demo",)),
        Case("eval holes", ("eval", "holes", str(code), "-n", "2", "--kind", "line", "--json", holes)),
        Case("eval compare", ("eval", "compare", holes, holes)),
        Case("eval infilling", ("eval", "infilling", str(folder / "problems.jsonl"), "--way", "spm")),
        Case("eval card", ("eval", "card", "--holes", "1")),
        Case("eval edits", ("eval", "edits", str(code), "--files", "1")),
        Case("eval fixes, not allowed", ("eval", "fixes", str(folder / "problems.jsonl")), (1,)),
        Case("eval explain", ("eval", "explain", "--functions", "1")),
        Case("adapters check", ("adapters", "check", "bundled")),
        Case("adapters add", ("adapters", "add", "mine", adapter, *tasks)),
        Case("adapters list", ("adapters", "list")),
        Case("ask", ("ask", "What is a list?"), (0, 1)),
        Case("ask --file", ("ask", "What is it?", "--file", str(code / "items.py")), (0, 1)),
        Case("act fix", ("act", "fix", line), (0, 1)),
        Case("act test", ("act", "test", line), (0, 1)),
        Case("adapters remove", ("adapters", "remove", "mine")),
        Case(
            "adapters merge",
            ("adapters", "merge", "bundled", adapter, "--out", str(folder / "merged")),
            output=folder / "merged",
        ),
        Case("train adapter, too few files", ("train", "adapter", str(code), "--name", "mine", "--dry-run"), (1,)),
        Case("train edits, no repository", ("train", "edits", str(code), "--name", "mine", "--dry-run"), (1,)),
        Case("train preferences, no text is kept", ("train", "preferences", "--name", "mine"), (1,)),
        Case("train list", ("train", "list")),
        Case("train rollback, none serves", ("train", "rollback", "mine"), (1,)),
        Case("stats", ("stats",), (0, 1)),
        Case("feedback show", ("feedback", "show"), (0, 1)),
        Case("feedback export", ("feedback", "export", str(folder / "feedback.jsonl"))),
        Case("feedback forget", ("feedback", "forget", "--all")),
        Case("feedback forget, nothing named", ("feedback", "forget"), (2,)),
        Case("logs", ("logs",), (0, 1)),
    ]


def ended_cases(folder: Path) -> list[Case]:
    """Servers and loading commands that are ended from outside. docs/protocol.md has the exit codes of servers."""
    line = f"{folder / 'code' / 'items.py'}:6"
    servers = {"serve": ("serve",), "serve --no-share": ("serve", "--no-share")}
    ways = {"shutdown and exit": 0, "exit only": 1, "end of input": 1, "SIGTERM": 1}
    loading: tuple[tuple[str, ...], ...] = (
        ("complete", f"{line}:10"),
        ("explain", line),
        ("act", "document", line),
        ("doctor",),
        ("demo",),
    )
    loading += (("eval", "card", "--holes", "1"), ("adapters", "check", "bundled"))
    return [
        *(
            Case(f"{name}, {way}", arguments, (code,), way)
            for name, arguments in servers.items()
            for way, code in ways.items()
        ),
        Case("serve --tcp, SIGTERM", ("serve", "--tcp", "0"), (0,), "SIGTERM"),
        Case("resident, SIGTERM", ("resident",), (0,), "SIGTERM"),
        Case("resident, stop", ("resident",), (0,), "stop"),
        Case("stop", ("stop",)),  # so that the next commands find no daemon with a loaded model
        *(Case(f"{arguments[0]}, Ctrl-C", arguments, (130, -signal.SIGINT), "SIGINT") for arguments in loading),
    ]
