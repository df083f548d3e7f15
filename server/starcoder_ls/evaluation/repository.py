"""The files of the user's own repository in which holes may be drawn, and the workspace folders of an editor.

The server's own ignore rules decide which files these are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from starcoder_ls.context.ignore_files import find_repository
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.source_files import Source, language_family, read_source, walk_source_files
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import boundaries, holes, html_report
from starcoder_ls.evaluation.boundaries import Boundaries
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.languages.table import by_path, normalize_id

_MARK_CHARS = 1000
"""At the beginning of a file, where the mark of a report is."""


class Repository:
    """The source files in ``paths`` (files and folders) that are in ``languages`` (ids of any editor; empty: all).

    ``outputs`` are reports that earlier runs have written there, in which nothing is drawn. Raises SettingsError if
    there is no source file, or if ``paths`` names a file that must not reach a prompt.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        ignored: Sequence[str] = (),
        languages: Collection[str] = (),
    ) -> None:
        resolved = [path.resolve() for path in paths]
        self.folders = _without_nested([_workspace_of(path) for path in resolved])
        self._rules = IgnoreRules(self.folders, ignored)
        self._sources: dict[str, tuple[Source, Boundaries] | None] = {}
        language_ids = set(map(normalize_id, languages))
        files = {str(file) for path in resolved for file in self._source_files(path)}
        self.outputs = sorted(file for file in files if is_own_output(file))
        files -= set(self.outputs)
        self.files = sorted(file for file in files if not language_ids or self.language_of(file) in language_ids)
        if not self.files:
            kind = f"source files in {', '.join(sorted(languages))}" if languages else "source files"
            raise SettingsError(
                f"There are no {kind} in {', '.join(map(str, paths))} that a prompt may hold. Ignored files, and "
                "those that look like secrets, are left out: name another folder, or look at .gitignore, "
                ".starcoderignore and `context.ignore`."
            )

    def _source_files(self, path: Path) -> Iterator[Path]:
        if path.is_dir():
            yield from walk_source_files(path, self._rules)
        elif not path.is_file():
            raise SettingsError(f"There is no file or folder {path}.")
        elif (reason := self._rules.exclusion_reason(path)) is not None:
            raise SettingsError(f"No hole is drawn in {path}: {reason}, so that it never reaches a prompt.")
        elif not language_family(path.name) or read_source(path) is None:
            raise SettingsError(f"{path} is no source code that can be read. Name source files, or folders of them.")
        else:
            yield path

    def language_of(self, path: str) -> str:
        """The language id of a file; its suffix if the language is unknown."""
        return by_path(path).id or Path(path).suffix.lstrip(".").lower()

    def draw_holes(self, kinds: Sequence[Kind], count: int, seed: int) -> list[Hole]:
        """``count`` holes of each kind, or as many as there are. Raises SettingsError if there is none."""
        drawn = [
            hole
            for kind in kinds
            for hole in holes.draw_holes_by_syntax(self.files, kind, count, seed, self._read_source, self._name_of_path)
        ]
        if not drawn:
            raise SettingsError(f"The {len(self.files)} source files have no code that is long enough for a hole.")
        return drawn

    def name_of(self, source: Source) -> str:
        """The path relative to the workspace folder, which is the same on another machine."""
        return self._name_in(Path(source.package), source.path)

    def _name_of_path(self, path: str) -> str:
        folder = self._folder_of(path)
        return self._name_in(folder, Path(path).relative_to(folder).as_posix())

    def _name_in(self, folder: Path, path: str) -> str:
        return path if len(self.folders) == 1 else f"{folder.name}/{path}"

    def _folder_of(self, path: str) -> Path:
        return next(folder for folder in self.folders if Path(path).is_relative_to(folder))

    def _read_source(self, path: str) -> tuple[Source, Boundaries] | None:
        if path not in self._sources:
            text = read_source(Path(path), self.folders)
            folder = self._folder_of(path)
            source = text and Source(str(folder), Path(path).relative_to(folder).as_posix(), text)
            self._sources[path] = (
                (source, boundaries.find_boundaries(source.text, self.language_of(path))) if source else None
            )
        return self._sources[path]


def is_own_output(path: str) -> bool:
    """Whether a source file is a report of a run, which contains the right answers. Results in JSON are no source."""
    if Path(path).suffix.lower() != ".html":
        return False
    text = read_source(Path(path))
    return text is not None and html_report.GENERATOR in text[:_MARK_CHARS]


def path_of(source: Source) -> Path:
    """The path of a source that a Repository has read: its ``package`` is the workspace folder."""
    return Path(source.package, source.path)


def _workspace_of(path: Path) -> Path:
    """The folder that an editor would open: the repository around ``path``, or its folder."""
    return find_repository(path if path.is_dir() else path.parent)


def _without_nested(folders: Sequence[Path]) -> list[Path]:
    distinct = sorted(set(folders))
    return [
        folder for folder in distinct if not any(folder != other and folder.is_relative_to(other) for other in distinct)
    ]
