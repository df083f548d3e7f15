"""The server that fills holes: how it is started, when it is ready, and what is said if it ends.

Decides the settings that measurements send: no time limit for answers, and no results of earlier runs.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_routing import is_completion_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.errors import EngineError, StarcoderError
from starcoder_ls.evaluation import completion_client
from starcoder_ls.evaluation.completion_client import ServerInfo
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.lsp import client
from starcoder_ls.settings.merge import merge

_MAX_SHOWN_LOG_LINES = 6
_PATTERN_CHARACTER = re.compile(r"[*?!#\[\]\\ ]")  # has a meaning in a .gitignore
_BUDGET = {"inline_completion": {"budget_ms": 60_000}}
"""Unless ``--set`` says otherwise: on a busy machine the time limit for editors would cut answers."""


@dataclass(frozen=True, slots=True)
class ServerLaunch:
    """How to start the server: its command line, and the settings that are sent to it (``options``).

    ``overlay`` is the settings tree of ``arguments``.
    """

    arguments: Sequence[str]
    overlay: Mapping[str, Any]
    options: Mapping[str, Any]
    settings_file: Path | None = None
    program: Sequence[str] = (sys.executable, "-m", "starcoder_ls", "serve", "--stdio", "--no-share")

    @property
    def command(self) -> list[str]:
        return [*self.program, *self.arguments]

    def load_settings(self) -> settings.Settings:
        """The settings that the server will have. Raises SettingsError."""
        return settings.load(self.overlay, self.options, file=self.settings_file)


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Temporary files of servers: a folder for their state, and their log."""

    folder: Path
    log: IO[str]


@contextmanager
def server_files() -> Iterator[ServerFiles]:
    """Files for servers that end before the block does. A StarcoderError gets the last lines of the log."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "server.log").open("w+", encoding="utf-8") as log:
        try:
            yield ServerFiles(Path(folder), log)
        except StarcoderError as error:
            raise type(error)(f"{error}{_last_lines(log)}") from error


@asynccontextmanager
async def start(
    launch: ServerLaunch, repository: Repository, files: ServerFiles
) -> AsyncIterator[tuple[client.Client, ServerInfo]]:
    """A server that has ``repository`` open, when its model and its adapters for completion are loaded.

    Raises ModelError if one of them cannot be loaded, EngineError if the server ends before, SettingsError.
    """
    config = launch.load_settings()
    adapters = required_adapters(config)
    env = {**os.environ, "STARCODER_LS_STATE": str(files.folder)}  # keeps these requests out of the statistics
    async with client.start(launch.command, env=env, stderr=files.log.fileno()) as server:
        try:
            with stderr.status("starting the server") as line:
                server_settings = merge(_BUDGET, without_outputs(launch.options, config, repository))
                await completion_client.initialize(server, repository.folders, server_settings)
                server_info = await completion_client.wait_until_ready(
                    server, lambda message: line.update(Text(message)), adapters
                )
        except client.ConnectionClosed as error:
            raise EngineError("The server ended before it was ready.") from error
        yield server, server_info
        try:
            await server.shutdown()
        except client.ConnectionClosed as error:
            raise EngineError("The server has ended during the run.") from error


def progress_bar() -> Progress:
    columns = (
        SpinnerColumn(), TextColumn("filling holes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=stderr)


def required_adapters(config: settings.Settings) -> list[str]:
    """The adapters that answer completions: without one of them another model would be measured."""
    return [name for name, adapter in config.resident_adapters().items() if is_completion_adapter(name, adapter)]


def without_outputs(options: Mapping[str, Any], config: settings.Settings, repository: Repository) -> dict[str, Any]:
    """``options`` for a server with the settings ``config``, with the results of earlier runs ignored: they contain the
    right answers."""
    if not repository.outputs:
        return dict(options)
    names = [
        Path(file).relative_to(folder).as_posix()
        for file in repository.outputs
        for folder in repository.folders
        if Path(file).is_relative_to(folder)
    ]
    patterns = ["/" + _PATTERN_CHARACTER.sub(r"\\\g<0>", name) for name in names]
    return merge(dict(options), {"context": {"ignore": [*config.context.ignore, *patterns]}})


def _last_lines(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.rstrip() for line in log if line.strip()]
    return (
        "".join(f"\n  {line}" for line in ["The end of the server's log:", *lines[-_MAX_SHOWN_LOG_LINES:]])
        if lines
        else ""
    )
