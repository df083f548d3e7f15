"""Holes that a base and a trained adapter fill, for the gate: through one server that has both, or one server each.

The servers have the user's settings without other adapters. Where the candidate is an adapter, one server answers for
both sides: before each request, its settings say whether the adapter completes code. Every other difference between
the sides is thereby excluded, and the model is in memory once.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from starcoder_ls import settings
from starcoder_ls.commands.support import hole_server
from starcoder_ls.commands.support.adapter_option import name_from_path
from starcoder_ls.commands.support.hole_selection import HoleSelection, draw_holes
from starcoder_ls.commands.support.hole_server import ServerFiles, ServerLaunch
from starcoder_ls.context.source_files import read_source
from starcoder_ls.errors import EngineError, ModelError, SettingsError
from starcoder_ls.evaluation import completion_client, results
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.gate import Code
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Hole
from starcoder_ls.evaluation.paired_filling import fill_alternately
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.evaluation.results import ScoredHole
from starcoder_ls.lsp.client import Client, ConnectionClosed
from starcoder_ls.routing import COMPLETION

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.versions import Version

_MAX_FOREIGN_FILES = 60


@dataclass(frozen=True, slots=True)
class Side:
    """The base or the candidate: its server, and the settings that are sent before each of its requests."""

    launch: ServerLaunch
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GateHoles:
    """Measures what the training of ``version`` started from, in most cases the base alone, beside the version itself.

    ``folder`` is for temporary files. ``foreign`` is a folder of other code; None: a package of this installation.
    ``program`` replaces the server's command in tests. Holes that are in ``kept`` are not filled again.
    """

    version: Version
    config: settings.Settings
    folder: Path
    foreign: Path | None = None
    program: tuple[str, ...] = ()
    kept: PartialRun[Pair] | None = None

    def __call__(self, code: Code, holes: int, seed: int) -> list[Pair]:
        """Raises SettingsError, ModelError, EngineError."""
        selection = HoleSelection(self.paths(code), -(-holes // len(SYNTAX_KINDS)), seed)
        sides = self.sides()
        repository, drawn = draw_holes(selection, sides[0].launch.load_settings())
        kept = _KeptPairs(self.kept or PartialRun[Pair](None, {}, Pair), f"{code} {seed}", repository)
        pairs = [pair for hole in drawn if (pair := kept.find(hole)) is not None]
        if len(pairs) == len(drawn):
            return pairs
        with hole_server.server_files() as files:
            return asyncio.run(_fill_pairs(repository, drawn, sides, files, kept))

    def sides(self) -> tuple[Side, Side]:
        """The base and the candidate. Raises SettingsError if the settings cannot be written."""
        training = self.version.training
        if training["is_checkpoint"]:
            return Side(self._launch(training["base"])), Side(self._launch(str(self.version.folder)))
        launch, start, path = self._launch(training["base"], self.version.folder), self._start, str(self.version.folder)
        folders = [path] if start is None else [start, path]
        base, candidate = (
            {"adapters": _table({folder: [COMPLETION] if folder == active else [] for folder in folders})}
            for active in (start, path)
        )
        return Side(launch, base), Side(launch, candidate)

    @property
    def _start(self) -> str | None:
        """The adapter that the training of ``version`` started from, which then belongs to the base's side."""
        start: str | None = self.version.training.get("start")
        return start

    def _launch(self, model: str, adapter: Path | None = None) -> ServerLaunch:
        settings_file = self._write_settings()
        arguments = ["--model", model, "--settings", str(settings_file)]
        overlay: dict[str, Any] = {"model": {"name": model}}
        if adapter is not None:
            arguments += ["--adapter", str(adapter)]
            overlay["adapters"] = _table({str(adapter): [COMPLETION]})
        options = {"program": self.program} if self.program else {}
        return ServerLaunch(arguments, overlay, {}, settings_file, **options)

    def _write_settings(self) -> Path:
        """The user's settings without adapters other than the one that the training started from."""
        file = self.folder / "settings.toml"
        tree = self.config.model_dump(mode="json", exclude_defaults=True, exclude_none=True, exclude={"adapters"})
        if self._start is not None:
            tree["adapters"] = _table({self._start: [COMPLETION]})
        file.write_text(tomlkit.dumps(tree), encoding="utf-8")
        return file

    def paths(self, code: Code) -> list[Path]:
        """Where holes are drawn. Raises SettingsError if the held-out files are gone, or no other code is left."""
        if code is Code.FOREIGN:
            return self._without_learned(self.foreign or _copy_package(self.folder / "foreign"))
        paths = [path for path in map(Path, self.version.training["held_out_files"]) if path.is_file()]
        if not paths:
            raise SettingsError(
                "None of the files that were held out exists any more, so the adapter cannot be measured. Train again."
            )
        return paths

    def _without_learned(self, folder: Path) -> list[Path]:
        """``folder``, or its files other than those that were trained on, of which copies count too."""
        learned = {read_source(Path(name)) for name in self.version.learned_files}
        files = [Path(file) for file in Repository([folder], self.config.context.ignore).files]
        others = [file for file in files if read_source(file) not in learned]
        if not others:
            raise SettingsError(
                f"The adapter was trained on all files in {folder}. Name a folder of other code with `train gate "
                "--foreign`."
            )
        return [folder] if len(others) == len(files) else others


def _table(tasks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The settings' `[adapters]` for folders, with the tasks of each."""
    return {name_from_path(path): {"path": path, "tasks": list(names)} for path, names in tasks.items()}


@dataclass(frozen=True, slots=True)
class _KeptPairs:
    """The pairs of ``run`` that belong to one draw of holes: those of other draws are not mixed up with them."""

    run: PartialRun[Pair]
    draw: str
    repository: Repository

    def find(self, hole: Hole) -> Pair | None:
        return self.run.answers.get(self._key(results.identify(hole, self.repository.name_of(hole.source))))

    def add(self, pair: Pair) -> None:
        self.run.add(self._key(pair[0].id), pair)

    def _key(self, hole_id: str) -> str:
        return f"{self.draw} {hole_id}"


async def _fill_pairs(
    repository: Repository, holes: Sequence[Hole], sides: tuple[Side, Side], files: ServerFiles, kept: _KeptPairs
) -> list[Pair]:
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for side in sides:
            if clients and side.launch == sides[0].launch:
                clients.append(clients[0])
            else:
                clients.append((await stack.enter_async_context(hole_server.start(side.launch, repository, files)))[0])

        async def fill(number: int, hole: Hole) -> ScoredHole:
            server, side = clients[number], sides[number]
            if side.settings:
                server.notify("workspace/didChangeConfiguration", {"settings": side.settings})
            name, language = repository.name_of(hole.source), repository.language_of(hole.source.path)
            text, elapsed_ms = await completion_client.request_suggestion(server, hole, language)
            return results.score_hole(hole, name, language, text, elapsed_ms)

        adapters = hole_server.required_adapters(sides[1].launch.load_settings())

        async def keep(pair: Pair) -> None:
            await _require_adapters(clients[1], adapters)
            kept.add(pair)

        with hole_server.progress_bar() as bar:
            tracked = bar.track(holes, description=f"{len(holes)} holes, twice each")
            return await fill_alternately(tracked, fill, kept.find, keep)


async def _require_adapters(server: Client, adapters: Sequence[str]) -> None:
    """Raise ModelError if the server has lost an adapter since it was ready: the base answered in its place.

    Raises EngineError if the server has ended.
    """
    try:
        status = await server.request("starcoder/status")
    except ConnectionClosed as error:
        raise EngineError("The server has ended during the run.") from error
    if missing := set(adapters) - {adapter["name"] for adapter in status["adapters"]}:
        raise ModelError(f"The adapter {', '.join(sorted(missing))} was unloaded during the run. Run the gate again.")


def _copy_package(folder: Path) -> Path:
    """A copy of a package that the bundled model was not trained on and that is installed with this program."""
    if not folder.exists():
        import rich

        folder.mkdir()
        files = sorted(Path(rich.__file__).parent.glob("*.py"), key=lambda file: file.name)
        for file in files[:_MAX_FOREIGN_FILES]:
            shutil.copyfile(file, folder / file.name)
    return folder
