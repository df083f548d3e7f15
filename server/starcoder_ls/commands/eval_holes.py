"""``starcoder-ls eval holes``: measures suggestions in the user's own files, through a real server process.

It shows progress, prints the tables and writes the result files. ``evaluation`` draws and scores the holes.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from starcoder_ls import __version__
from starcoder_ls.commands.support import hole_server
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.hole_selection import HoleSelection, draw_holes
from starcoder_ls.commands.support.hole_server import ServerFiles, ServerLaunch
from starcoder_ls.commands.support.hole_tables import print_tables
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import completion_client, html_report, partial_run, results
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.evaluation.results import Run, ScoredHole
from starcoder_ls.settings.merge import merge


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
    repository, holes = draw_holes(selection, launch.load_settings())
    with hole_server.server_files() as files:
        server_info, scored = asyncio.run(_fill_holes(repository, holes, selection, launch, files, json_file))
    sources = results.hash_sources(holes, repository.name_of)
    return create_run(repository, selection, server_info, merge(dict(launch.overlay), launch.options), scored, sources)


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


async def _fill_holes(
    repository: Repository,
    holes: Sequence[Hole],
    selection: HoleSelection,
    launch: ServerLaunch,
    files: ServerFiles,
    json_file: Path | None,
) -> tuple[completion_client.ServerInfo, list[ScoredHole]]:
    async with hole_server.start(launch, repository, files) as (server, server_info):

        async def request_suggestion(hole: Hole) -> tuple[str, float]:
            language = repository.language_of(hole.source.path)
            return await completion_client.request_suggestion(server, hole, language)

        overrides = merge(dict(launch.overlay), launch.options)
        kept = continue_run(json_file, selection, server_info, overrides)
        scored = await fill_holes(repository, holes, kept, selection.has_texts, request_suggestion)
    return server_info, scored


async def fill_holes(
    repository: Repository,
    holes: Sequence[Hole],
    kept: PartialRun[ScoredHole],
    has_texts: bool,
    suggest: Callable[[Hole], Awaitable[tuple[str, float]]],
) -> list[ScoredHole]:
    """The scored holes in order. ``suggest`` gives the text and its milliseconds for those that are not in ``kept``.

    Raises SettingsError, and what ``suggest`` raises.
    """
    try:
        with hole_server.progress_bar() as bar:
            scored = []
            for hole in bar.track(holes, description=f"{len(holes)} holes"):
                name, language = repository.name_of(hole.source), repository.language_of(hole.source.path)
                key = results.identify(hole, name)
                known = kept.answers.get(key)
                if known is None:
                    text, elapsed_ms = await suggest(hole)
                    known = results.score_hole(hole, name, language, text, elapsed_ms, has_texts)
                    kept.add(key, known)
                scored.append(known)
            return scored
    except BaseException:
        if kept.answers:
            stderr.print(f"{len(kept.answers)} answers are in {kept.file}: the same command continues the run.")
        raise


def continue_run(
    json_file: Path | None,
    selection: HoleSelection,
    server_info: completion_client.ServerInfo,
    overrides: Mapping[str, Any],
) -> PartialRun[ScoredHole]:
    """The answers that an interrupted run has kept for ``json_file``, if it depended on the same.

    Raises SettingsError.
    """
    conditions = {
        "format": f"{results.FORMAT}, unfinished",
        "version": __version__,
        "model": server_info.model,
        "device": server_info.device,
        "adapters": sorted(server_info.adapters),
        "overrides": dict(overrides),
        "has_texts": selection.has_texts,
    }
    return PartialRun[ScoredHole](json_file, conditions, ScoredHole)


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
