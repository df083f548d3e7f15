"""``starcoder-ls eval holes``: how good suggestions are in the user's own files, through a real server process.

Decides what is shown while it runs and where the results go. Refuses to know how holes are drawn and scored.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from starcoder_ls import __version__, settings
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.errors import EngineError, SettingsError, StarcoderError
from starcoder_ls.evaluation import completion_client, html_report, results
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Hole, Kind
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.evaluation.results import Run, ScoredHole
from starcoder_ls.evaluation.summary import MEASURES, Group, group_by_kind, group_by_language
from starcoder_ls.lsp import client
from starcoder_ls.settings_merge import merge

_SHOWN_LOG_LINES = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """What is drawn. ``kinds`` and ``languages`` empty: all."""

    paths: Sequence[Path]
    per_kind: int
    seed: int
    kinds: Sequence[Kind] = ()
    languages: Sequence[str] = ()
    has_texts: bool = True


@dataclass(frozen=True, slots=True)
class Served:
    """How the server is started: its command line, and the settings it is sent besides.

    ``overlay`` is what ``arguments`` mean as settings.
    """

    arguments: Sequence[str]
    overlay: Mapping[str, Any]
    options: Mapping[str, Any]
    settings_file: Path | None = None
    program: Sequence[str] = (sys.executable, "-m", "starcoder_ls", "serve", "--stdio", "--no-share")

    @property
    def command(self) -> list[str]:
        return [*self.program, *self.arguments]


def run(asked: Asked, served: Served, json_file: Path | None, html_file: Path | None) -> int:
    """Draw, fill, show. 0 also where the suggestions are bad: that is a result."""
    for file in (json_file, html_file):
        if file is not None and not file.absolute().parent.is_dir():
            raise SettingsError(f"There is no folder {file.absolute().parent} to write {file.name} to. Make it first.")
    made = measured(asked, served)
    show(made)
    if json_file is not None:
        results.write_run(made, json_file)
    if html_file is not None:
        results.write_text(html_report.render_html(made), html_file)
    return 0


def measured(asked: Asked, served: Served) -> Run:
    """A whole run, with progress on standard error. Raises StarcoderError with what the server said last."""
    chosen = settings.load(served.overlay, served.options, file=served.settings_file)
    repository, cut = drawn(asked, chosen)
    with tempfile.TemporaryDirectory() as folder, Path(folder, "server.log").open("w+", encoding="utf-8") as log:
        try:
            about, filled = asyncio.run(_filled(repository, cut, asked, served, Path(folder), log))
        except StarcoderError as error:
            raise type(error)(f"{error}{_last_lines(log)}") from error
    return as_run(repository, asked, about, merge(dict(served.overlay), served.options), filled)


def drawn(asked: Asked, chosen: settings.Settings) -> tuple[Repository, list[Hole]]:
    with stderr.status("looking for source files"):
        repository = Repository(asked.paths, chosen.context.ignore, asked.languages)
        cut = repository.draw_holes(asked.kinds or SYNTAX_KINDS, asked.per_kind, asked.seed)
    _say_what_is_short(cut, asked)
    return repository, cut


def as_run(
    repository: Repository,
    asked: Asked,
    about: completion_client.ServerInfo,
    changed: Mapping[str, Any],
    filled: list[ScoredHole],
) -> Run:
    return Run(
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=__version__,
        model=about.model,
        device=about.device,
        adapters=list(about.adapters),
        overrides=dict(changed),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        folders=[one.name or str(one) for one in repository.folders],
        files=len(repository.files),
        seed=asked.seed,
        wanted_per_kind=asked.per_kind,
        holes=filled,
    )


async def _filled(
    repository: Repository, cut: Sequence[Hole], asked: Asked, served: Served, folder: Path, log: IO[str]
) -> tuple[completion_client.ServerInfo, list[ScoredHole]]:
    env = {**os.environ, "STARCODER_LS_STATE": str(folder)}  # what is asked here is not what the user asked
    async with client.start(served.command, env=env, stderr=log.fileno()) as server:
        try:
            with stderr.status("starting the server") as line:
                await completion_client.initialize(server, repository.folders, served.options)
                about = await completion_client.wait_until_ready(server, lambda said: line.update(Text(said)))
            filled = []
            with _bar() as bar:
                for hole in bar.track(cut, description=f"{len(cut)} holes"):
                    language = repository.language_of(hole.source.path)
                    text, elapsed_ms = await completion_client.request_suggestion(server, hole, language)
                    name = repository.name_of(hole.source)
                    filled.append(results.score_hole(hole, name, language, text, elapsed_ms, asked.has_texts))
            await server.shutdown()
        except client.ConnectionClosed as error:
            raise EngineError("The server ended before it could be asked.") from error
    return about, filled


def _bar() -> Progress:
    columns = (
        SpinnerColumn(), TextColumn("filling holes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=stderr)


def _say_what_is_short(cut: Sequence[Hole], asked: Asked) -> None:
    for kind in asked.kinds or SYNTAX_KINDS:
        count = sum(hole.kind is kind for hole in cut)
        if count < asked.per_kind:
            stderr.print(f"Only {count} of {asked.per_kind} holes of the kind {kind}: the files have no more places.")


def _last_lines(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.rstrip() for line in log if line.strip()]
    return "".join(f"\n  {line}" for line in ["The server's last words:", *lines[-_SHOWN_LOG_LINES:]]) if lines else ""


def show(made: Run) -> None:
    """Two tables: what suggestions are worth, and how long they took."""
    console = Console(highlight=False)
    head = f"{made.model} on {made.device}, {len(made.holes)} holes, seed {made.seed}"
    worth = Table(
        title=head,
        caption="with 95 % intervals; kept: characters, the others per cent",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    times = Table(title="time to the answer, ms", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    worth.add_column("hole", no_wrap=True, min_width=12)
    times.add_column("hole", no_wrap=True)
    worth.add_column("n", justify="right")
    for measure in MEASURES:
        worth.add_column(measure.name, justify="right")
    kinds = group_by_kind(made.holes)
    for which in kinds[0].latencies():
        times.add_column(f"p{100 * which:g}", justify="right")
    for group in (*kinds, *group_by_language(made.holes)):
        _add(worth, times, group)
    console.print(worth)
    console.print(times)


def _add(worth: Table, times: Table, group: Group) -> None:
    cells = []
    for measure in MEASURES:
        mean = measure.estimate(group.holes)
        low, high = measure.format_rounded(mean.low), measure.format_rounded(mean.high)
        cells.append(f"{measure.format(mean.value)}\n[dim]{low}–{high}[/dim]")
    style = "bold" if not group.kind else None
    name = f"  {group.name}" if group.is_subgroup else group.name
    worth.add_row(name, str(len(group.holes)), *cells, style=style)
    times.add_row(name, *(f"{found.value:.0f}" for found in group.latencies().values()), style=style)


_KINDS = {"line": Kind.LINE, "rest": Kind.REST, "block": Kind.BLOCK, "span": Kind.SPAN}


def kinds_of(names: Sequence[str]) -> list[Kind]:
    """Each once, in their own order. Raises SettingsError."""
    for name in names:
        if name not in _KINDS:
            raise SettingsError(f"--kind {name}: there is no such kind of hole. Choose from {', '.join(_KINDS)}.")
    return [kind for name, kind in _KINDS.items() if name in names]


def overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """``context.evidence=false`` and the like as a settings tree. Raises SettingsError."""
    tree: dict[str, Any] = {}
    for one in assignments:
        try:
            tree = merge(tree, tomllib.loads(one.replace("=", " = ", 1)))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(
                f"--set {one} is not KEY=VALUE in TOML ({error}). Write for example context.evidence=false or "
                "inline_completion.fim_order='\"psm\"'."
            ) from error
    for section in tree.keys() & {"model", "log", "adapters"}:
        raise SettingsError(
            f"--set {section}: a server reads `{section}` before it is sent settings. Use --model, --adapter, "
            "--device, --dtype, or --settings FILE."
        )
    return tree
