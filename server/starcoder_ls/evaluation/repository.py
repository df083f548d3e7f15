"""Files of the user's own repository that holes may be cut in, and their workspace folders, as an editor has them.

Decides by the same ignore rules as the server. Refuses to know how holes are filled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from starcoder_ls.context.ignore_rules import IgnoreRules, find_repository
from starcoder_ls.context.source_files import language_family, read_source, walk_source_files
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import boundaries, holes
from starcoder_ls.evaluation.boundaries import Boundaries
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.languages.table import by_path, normalize_id
from starcoder_ls.learning.sources import Source


class Repository:
    """What ``paths`` (files and folders) hold, in ``languages`` (ids of any editor; empty: all).

    Raises SettingsError where there is nothing to cut a hole in, or a file was named that must not reach a prompt.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        ignored: Sequence[str] = (),
        languages: Collection[str] = (),
    ) -> None:
        named = [path.resolve() for path in paths]
        self.folders = _without_nested([_workspace_of(path) for path in named])
        self._rules = IgnoreRules(self.folders, ignored)
        self._sources: dict[str, tuple[Source, Boundaries] | None] = {}
        wanted = set(map(normalize_id, languages))
        found = {str(path) for one in named for path in self._files(one)}
        self.files = sorted(path for path in found if not wanted or self.language(path) in wanted)
        if not self.files:
            kind = f"source files in {', '.join(sorted(languages))}" if languages else "source files"
            raise SettingsError(
                f"There are no {kind} in {', '.join(map(str, paths))} that a prompt may hold. Ignored files, and "
                "those that look like secrets, are left out: name another folder, or look at .gitignore, "
                ".starcoderignore and `context.ignore`."
            )

    def _files(self, path: Path) -> Iterator[Path]:
        if path.is_dir():
            yield from walk_source_files(path, self._rules)
        elif not path.is_file():
            raise SettingsError(f"There is no file or folder {path}.")
        elif (why := self._rules.exclusion_reason(path)) is not None:
            raise SettingsError(f"No hole is cut in {path}: {why}, so that it never reaches a prompt.")
        elif not language_family(path.name) or read_source(path) is None:
            raise SettingsError(f"{path} is no source code that can be read. Name source files, or folders of them.")
        else:
            yield path

    def language(self, path: str) -> str:
        return by_path(path).id or Path(path).suffix.lstrip(".").lower()

    def drawn(self, kinds: Sequence[Kind], count: int, seed: int) -> list[Hole]:
        """``count`` holes of each kind, or as many as there are. Raises SettingsError where there is none."""
        found = [
            hole for kind in kinds for hole in holes.drawn_by_syntax(self.files, kind, count, seed, self._source_of)
        ]
        if not found:
            raise SettingsError(
                f"The {len(self.files)} source files have no place for a hole: no code of enough length."
            )
        return found

    def name(self, source: Source) -> str:
        """A short name that is the same on another machine: relative to the workspace folder."""
        is_alone = len(self.folders) == 1
        return source.path if is_alone else f"{Path(source.package).name}/{source.path}"

    def _source_of(self, path: str) -> tuple[Source, Boundaries] | None:
        if path not in self._sources:
            text = read_source(Path(path))
            folder = next(folder for folder in self.folders if Path(path).is_relative_to(folder))
            source = text and Source(str(folder), Path(path).relative_to(folder).as_posix(), text)
            self._sources[path] = (source, boundaries.of(source.text, self.language(path))) if source else None
        return self._sources[path]


def path_of(source: Source) -> Path:
    """``package`` of a repository's source is its workspace folder."""
    return Path(source.package, source.path)


def _workspace_of(path: Path) -> Path:
    """What an editor would open: the repository around ``path``, or its folder."""
    return find_repository(path if path.is_dir() else path.parent)


def _without_nested(folders: Sequence[Path]) -> list[Path]:
    distinct = sorted(set(folders))
    return [one for one in distinct if not any(one != other and one.is_relative_to(other) for other in distinct)]
