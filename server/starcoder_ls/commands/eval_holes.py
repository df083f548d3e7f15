"""``starcoder-ls eval holes``: measures suggestions in the user's own files, through a real server process.

It shows progress, prints the tables and writes the result files. ``evaluation`` draws and scores the holes.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from starcoder_ls import __version__, settings
from starcoder_ls.commands.support.adapter_routing import is_completion_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.hole_tables import print_tables
from starcoder_ls.errors import EngineError, SettingsError, StarcoderError
from starcoder_ls.evaluation import completion_client, html_report, partial_run, results
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Hole, Kind
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.evaluation.results import Run, ScoredHole
from starcoder_ls.lsp import client
from starcoder_ls.settings_merge import merge

_MAX_SHOWN_LOG_LINES = 6
_PATTERN_CHARACTER = re.compile(r"[*?!#\[\]\\ ]")  # has a meaning in a .gitignore
_BUDGET = {"inline_completion": {"budget_ms": 60_000}}
"""Unless ``--set`` says otherwise: on a busy machine the time limit for editors would cut answers."""


@dataclass(frozen=True, slots=True)
class HoleSelection:
    """The holes to draw, ``per_kind`` of each kind. Empty ``kinds`` or ``languages`` mean all.

    ``has_texts`` says whether the result files contain code.
    """

    paths: Sequence[Path]
    per_kind: int
    seed: int
    kinds: Sequence[Kind] = ()
    languages: Sequence[str] = ()
    has_texts: bool = True


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


def run(selection: HoleSelection, launch: ServerLaunch, json_file: Path | None, html_file: Path | None) -> int:
    """Print the results and write the files. The exit code is 0, however bad the suggestions are.

    Raises SettingsError, ModelError, EngineError.
    """
    for file in (json_file, html_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise SettingsError(
                f"There is no folder {file.absolute().parent} to write {file.name} to. Create it first."
            )
    result = measure(selection, launch, json_file)
    print_tables(result)
    if json_file is not None:
        results.write_run(result, json_file)
        partial_run.remove(json_file)
    if html_file is not None:
        results.write_text(html_report.render_html(result), html_file)
    return 0


def measure(selection: HoleSelection, launch: ServerLaunch, json_file: Path | None = None) -> Run:
    """Draw the holes and let the server fill them, with progress on standard error.

    Answers are kept beside ``json_file`` as they come; those that an interrupted run has kept there are not requested
    again. Raises SettingsError, ModelError and EngineError, with the last lines of the server's log.
    """
    config = settings.load(launch.overlay, launch.options, file=launch.settings_file)
    repository, holes = draw_holes(selection, config)
    with tempfile.TemporaryDirectory() as folder, Path(folder, "server.log").open("w+", encoding="utf-8") as log:
        try:
            server_info, scored = asyncio.run(
                _fill_holes(
                    repository, holes, selection, launch, required_adapters(config), Path(folder), log, json_file
                )
            )
        except StarcoderError as error:
            raise type(error)(f"{error}{_last_lines(log)}") from error
    sources = results.hash_sources(holes, repository.name_of)
    return create_run(repository, selection, server_info, merge(dict(launch.overlay), launch.options), scored, sources)


def draw_holes(selection: HoleSelection, config: settings.Settings) -> tuple[Repository, list[Hole]]:
    """Raises SettingsError if the paths have no usable source files."""
    with stderr.status("looking for source files"):
        repository = Repository(selection.paths, config.context.ignore, selection.languages)
        holes = repository.draw_holes(selection.kinds or SYNTAX_KINDS, selection.per_kind, selection.seed)
    _print_missing_holes(holes, selection)
    return repository, holes


def create_run(
    repository: Repository,
    selection: HoleSelection,
    server_info: completion_client.ServerInfo,
    overrides: Mapping[str, Any],
    holes: list[ScoredHole],
    sources: dict[str, str] | None = None,
) -> Run:
    """The result, with everything needed to repeat the run."""
    return Run(
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=__version__,
        model=server_info.model,
        device=server_info.device,
        adapters=list(server_info.adapters),
        overrides=dict(overrides),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        folders=[folder.name or str(folder) for folder in repository.folders],
        files=len(repository.files),
        seed=selection.seed,
        wanted_per_kind=selection.per_kind,
        sources=sources or {},
        holes=holes,
    )


def required_adapters(config: settings.Settings) -> list[str]:
    """The adapters that answer completions: without one of them another model would be measured."""
    return [name for name, adapter in config.resident_adapters().items() if is_completion_adapter(name, adapter)]


async def _fill_holes(
    repository: Repository,
    holes: Sequence[Hole],
    selection: HoleSelection,
    launch: ServerLaunch,
    adapters: Sequence[str],
    state_folder: Path,
    log: IO[str],
    json_file: Path | None,
) -> tuple[completion_client.ServerInfo, list[ScoredHole]]:
    env = {**os.environ, "STARCODER_LS_STATE": str(state_folder)}  # keeps these requests out of the statistics
    async with client.start(launch.command, env=env, stderr=log.fileno()) as server:
        try:
            with stderr.status("starting the server") as line:
                server_settings = merge(_BUDGET, _without_outputs(launch, repository))
                await completion_client.initialize(server, repository.folders, server_settings)
                server_info = await completion_client.wait_until_ready(
                    server, lambda message: line.update(Text(message)), adapters
                )
            kept = PartialRun(json_file, _conditions(selection, launch, server_info))
            try:
                scored = await _request_all(server, repository, holes, kept, selection.has_texts)
            except BaseException:
                if kept.holes:
                    stderr.print(f"{len(kept.holes)} answers are in {kept.file}: the same command continues the run.")
                raise
            await server.shutdown()
        except client.ConnectionClosed as error:
            raise EngineError("The server ended before it was ready.") from error
    return server_info, scored


async def _request_all(
    server: client.Client, repository: Repository, holes: Sequence[Hole], kept: PartialRun, has_texts: bool
) -> list[ScoredHole]:
    """The scored holes in order, those of ``kept`` without a request. Raises EngineError, SettingsError."""
    scored = []
    with _progress_bar() as bar:
        for hole in bar.track(holes, description=f"{len(holes)} holes"):
            name, language = repository.name_of(hole.source), repository.language_of(hole.source.path)
            known = kept.holes.get(results.identify(hole, name))
            if known is None:
                text, elapsed_ms = await completion_client.request_suggestion(server, hole, language)
                known = results.score_hole(hole, name, language, text, elapsed_ms, has_texts)
                kept.add(known)
            scored.append(known)
    return scored


def _conditions(
    selection: HoleSelection, launch: ServerLaunch, server_info: completion_client.ServerInfo
) -> dict[str, Any]:
    """What the answer at a hole depends on."""
    return {
        "version": __version__,
        "model": server_info.model,
        "device": server_info.device,
        "adapters": sorted(server_info.adapters),
        "overrides": merge(dict(launch.overlay), launch.options),
        "has_texts": selection.has_texts,
    }


def _without_outputs(launch: ServerLaunch, repository: Repository) -> dict[str, Any]:
    """The settings for the server, with the results of earlier runs ignored: they contain the right answers."""
    if not repository.outputs:
        return dict(launch.options)
    config = settings.load(launch.overlay, launch.options, file=launch.settings_file)
    names = [
        Path(file).relative_to(folder).as_posix()
        for file in repository.outputs
        for folder in repository.folders
        if Path(file).is_relative_to(folder)
    ]
    patterns = ["/" + _PATTERN_CHARACTER.sub(r"\\\g<0>", name) for name in names]
    return merge(dict(launch.options), {"context": {"ignore": [*config.context.ignore, *patterns]}})


def _progress_bar() -> Progress:
    columns = (
        SpinnerColumn(), TextColumn("filling holes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=stderr)


def _print_missing_holes(holes: Sequence[Hole], selection: HoleSelection) -> None:
    for kind in selection.kinds or SYNTAX_KINDS:
        count = sum(hole.kind is kind for hole in holes)
        if count < selection.per_kind:
            stderr.print(f"Only {count} of {selection.per_kind} holes of the kind {kind}: the files have no more.")


def _last_lines(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.rstrip() for line in log if line.strip()]
    return (
        "".join(f"\n  {line}" for line in ["The end of the server's log:", *lines[-_MAX_SHOWN_LOG_LINES:]])
        if lines
        else ""
    )


_KIND_NAMES = {"line": Kind.LINE, "rest": Kind.REST, "block": Kind.BLOCK, "span": Kind.SPAN}


def parse_kinds(names: Sequence[str]) -> list[Kind]:
    """The kinds without duplicates, in the order of the enumeration. Raises SettingsError for an unknown name."""
    for name in names:
        if name not in _KIND_NAMES:
            raise SettingsError(f"--kind {name}: there is no such kind of hole. Choose from {', '.join(_KIND_NAMES)}.")
    return [kind for name, kind in _KIND_NAMES.items() if name in names]


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """The settings tree of assignments such as ``context.evidence=false``.

    Raises SettingsError if one is not TOML, or is of a section that a server reads before it receives settings.
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        try:
            tree = merge(tree, tomllib.loads(assignment.replace("=", " = ", 1)))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(
                f"--set {assignment} is not KEY=VALUE in TOML ({error}). Write for example context.evidence=false or "
                "inline_completion.fim_order='\"psm\"'."
            ) from error
    for section in tree.keys() & {"model", "log", "adapters"}:
        raise SettingsError(
            f"--set {section}: a server reads `{section}` before it receives settings. Use --model, --adapter, "
            "--device, --dtype, or --settings FILE."
        )
    return tree
