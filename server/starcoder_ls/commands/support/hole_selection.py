"""Which holes a measurement draws, and the files that they are drawn in. Says if there are fewer than wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls import settings
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Hole, Kind
from starcoder_ls.evaluation.repository import Repository


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


def draw_holes(selection: HoleSelection, config: settings.Settings) -> tuple[Repository, list[Hole]]:
    """Raises SettingsError if the paths have no usable source files."""
    with stderr.status("looking for source files"):
        repository = Repository(selection.paths, config.context.ignore, selection.languages)
        holes = repository.draw_holes(selection.kinds or SYNTAX_KINDS, selection.per_kind, selection.seed)
    _print_missing_holes(holes, selection)
    return repository, holes


def _print_missing_holes(holes: Sequence[Hole], selection: HoleSelection) -> None:
    for kind in selection.kinds or SYNTAX_KINDS:
        count = sum(hole.kind is kind for hole in holes)
        if count < selection.per_kind:
            stderr.print(f"Only {count} of {selection.per_kind} holes of the kind {kind}: the files have no more.")
