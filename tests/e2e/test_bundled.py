"""The installed server process and command line with the bundled model."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from starcoder_ls.lsp import client

SERVER = (sys.executable, "-m", "starcoder_ls")
ON_ONE_CORE = """
import os, runpy
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
runpy.run_module("starcoder_ls", run_name="__main__")
"""
CODE = """import json
from pathlib import Path


class Store:
    def __init__(self, path):
        self.path = path
        self.items = {}

    def load(self):
        with open(self.path) as file:
            self.items = json.load(file)

    def save(self):
        with open(self.path, "w") as file:
            json.dump(self.items, file)

    def add(self, name, value):
        self.items[name] = value
        return value


def main():
    store = Store(Path("items.json"))
    store.load()
    for name, value in store.items.items():
        print(name, value)


if __name__ == "__main__":
    main()
"""


async def wait_until_loaded(server: client.Client) -> dict[str, Any]:
    """Poll the status until the model is loaded or cannot be; the last status."""
    while True:
        status: dict[str, Any] = await server.request("starcoder/status")
        if status["phase"] in ("ready", "failed"):
            return status
        await asyncio.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Session:
    """What one client got from the server: answers while typing and when invoked, and the server's exit code."""

    typed: list[Any]
    invoked: list[Any]
    exit_code: int | None


@pytest.fixture(scope="module")
def session() -> Session:
    """A session without time limits on suggestions, which a busy machine would exceed."""
    options = {"inline_completion": {"budget_ms": 60_000}}

    async def run_session() -> Session:
        async with client.start([*SERVER, "serve", "--no-share", "--stdio"], stderr=subprocess.DEVNULL) as server:
            await server.initialize(options, {"textDocument": {"inlineCompletion": {}}})
            assert (await wait_until_loaded(server))["phase"] == "ready"
            server.open("file:///store.py", CODE)
            typed = []
            for line, text in enumerate(CODE.splitlines()):
                if text.strip():
                    column = len(text) - len(text.lstrip()) + 4
                    typed.append(await server.inline_completion("file:///store.py", line, min(column, len(text))))
            server.open("file:///loop.py", CODE + "\n\nfor x in ")
            invoked = [
                await server.inline_completion("file:///loop.py", line, 9, is_invoked=True) for line in (6, 7, 14, 33)
            ]
            return Session(typed, invoked, await server.shutdown())

    return asyncio.run(run_session())


def test_editor_gets_suggestions_for_real_code(session: Session) -> None:
    suggested = [item for answer in session.typed if answer for item in answer]
    assert session.exit_code == 0
    assert len(suggested) > len(session.typed) // 3
    for item in suggested:
        assert item["insertText"].strip()
        assert item["range"]["start"] == item["range"]["end"]
        assert not any(token in item["insertText"] for token in ("<fim_", "<|endoftext|>", "<filename>"))


def test_invoked_request_returns_different_suggestions(session: Session) -> None:
    answers = [[item["insertText"] for item in answer or ()] for answer in session.invoked]
    assert any(len(texts) > 1 for texts in answers)
    assert all(len(set(texts)) == len(texts) <= 3 for texts in answers)


def test_missing_model_is_one_message_and_the_server_lives() -> None:
    async def run_session() -> tuple[dict[str, Any], list[Any], Any]:
        command = [*SERVER, "serve", "--no-share", "--model", "/no/such/folder"]
        async with client.start(command, stderr=subprocess.DEVNULL) as server:
            await server.initialize()
            status = await wait_until_loaded(server)
            server.open("file:///a.py", "x = ")
            answer = await server.inline_completion("file:///a.py", 0, 4)
            messages = [params["message"] for method, params in server.notifications if method == "window/showMessage"]
            await server.shutdown()
            return status, messages, answer

    status, messages, answer = asyncio.run(run_session())
    assert status["phase"] == "failed"
    assert len(messages) == 1
    assert "/no/such/folder" in messages[0]
    assert answer is None


def run(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVER, *arguments], capture_output=True, text=True, input=text, timeout=300, check=False)


@pytest.mark.slow
def test_complete_prints_one_json_object_and_ends_in_order(tmp_path: Path) -> None:
    """Of a file and of standard input. The interpreter must not end while the engine's thread is inside torch, which
    aborts with 134: two processes share one core, so that each is interrupted. ``make exit-codes`` repeats this for all
    commands."""
    file = tmp_path / "store.py"
    file.write_text(CODE)
    variants = (f"{file}:7:14", "--json"), ("-:7:14", "--json", "--candidates", "2", "--trace")
    commands = [[sys.executable, "-c", ON_ONE_CORE, "complete", *arguments] for arguments in variants]
    with ThreadPoolExecutor(2) as executor:
        started = [
            executor.submit(subprocess.run, command, capture_output=True, text=True, input=CODE) for command in commands
        ]
    of_file, of_input = (run.result() for run in started)
    for done in (of_file, of_input):
        answer = json.loads(done.stdout)
        assert done.returncode == (0 if answer["suggestions"] else 1)
        assert "terminate" not in done.stderr
        assert "Traceback" not in done.stderr
        for suggestion in answer["suggestions"]:
            assert suggestion["range"]["start"] == {"line": 7, "column": 14}
            assert suggestion["prompt_tokens"] > 50
            assert suggestion["stop_reason"] in ("end_of_text", "stop_rule", "length")
            assert suggestion["timings"]["decode_ms"] > 0
    assert "<fim_prefix>" in of_input.stderr
    assert "class Store:" in of_input.stderr
    assert "<fim_prefix>" not in of_file.stderr


def test_doctor_reports_healthy() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("starcoder", "explain (BOTTLENECK)", "healthy"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("doctor", "--model", "/no/such/folder"), "/no/such/folder"),
        (("complete", "nothing.py:1:1"), "There is no file nothing.py."),
        (("complete", "here"), "FILE:LINE:COL"),
        (("doctor", "--device", "abacus"), "model.device"),
        (("serve", "--settings", "/no/such/settings.toml"), "/no/such/settings.toml"),
        (("serve", "--tcp", "0.0.0.0:0"), "127.0.0.1"),
    ],
)
def test_failed_command_prints_its_reason_without_traceback(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.returncode not in (0, None)
    output = " ".join((done.stdout + done.stderr).split())
    assert message in output
    assert "Traceback" not in output


def test_version_is_printed_without_loading_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *SERVER[1:], "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("starcoder-ls 0.")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "starcoder_ls" in imported
    assert not imported & {"torch", "transformers", "pygls"}


def test_app_imports_without_torch() -> None:
    code = "import starcoder_ls.app, sys; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
