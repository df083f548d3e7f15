"""An edit adapter for the bundled model from synthetic edits of free packages, and how many edits it makes.

    nice python benchmarks/run/edit_adapter.py train NAME [--edits 12000] [--minutes 0]   # resumes if interrupted
    python benchmarks/run/edit_adapter.py measure NAME [--edits 300] [--json FILE]       # base and adapter, by kind
    python benchmarks/run/edit_adapter.py show [--edits 13]                               # some edits, to read

Edits are made from the standard library and installed packages with a free licence; those of
``learning.sources.HELD_OUT`` are measured in only. `STARCODER_LS_STATE` decides where versions are.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import random
import sys
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from starcoder_ls import settings
from starcoder_ls.commands import train_adapter
from starcoder_ls.commands.support import gate_edits
from starcoder_ls.commands.support.edit_answers import answer_alternately
from starcoder_ls.context.source_files import Source
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.evaluation.edit_gate import EditPair
from starcoder_ls.evaluation.edit_scores import Outcome
from starcoder_ls.learning import sources
from starcoder_ls.learning.finetuning import training_base
from starcoder_ls.learning.finetuning.commit_spans import CommitSpan
from starcoder_ls.learning.finetuning.edit_preparation import EditOptions, plan_edits
from starcoder_ls.learning.finetuning.slices import Slice
from starcoder_ls.learning.finetuning.versions import AdapterVersions
from starcoder_ls.learning.synthetic_edits import EditMaker, SyntheticEdit

_PACKAGE_BYTES = 400_000
_VALIDATION_SHARE, _HELD_OUT_EDITS = 0.03, 400
_MAX_TOKENS, _BATCH_TOKENS = 384, 2_048
_MAX_MEASURED_CHARS = 600
"""Of lines of an edit that is measured: as long as those that are trained on."""


def make_edits(files: Iterable[Source], count: int, seed: int) -> list[SyntheticEdit]:
    """About as many of each kind, from files in random order."""
    shuffled = sorted(files, key=lambda file: (file.package, file.path))
    random.Random(seed).shuffle(shuffled)
    maker, edits = EditMaker(seed), []
    for file in shuffled:
        edits += maker.make_edits(f"{file.package}/{file.path}", file.text)
        if len(edits) >= count:
            break
    return edits[:count]


def read_sources(site_packages: Sequence[Path]) -> tuple[list[Source], list[Source]]:
    """The files of packages to train on, and those of the held-out packages."""
    packages = [sources.standard_library()]
    for folder in site_packages:
        packages += sources.installed_packages(folder)
    training, held_out, _ = sources.split_sources(packages, _PACKAGE_BYTES)
    return training, held_out


def train(name: str, count: int, minutes: float, rank: int, epochs: float, site_packages: Sequence[Path]) -> int:
    """Train and write a version."""
    console = Console(highlight=False)
    training, held_out = read_sources(site_packages)
    edits, others = make_edits(training, count, 1), make_edits(held_out, _HELD_OUT_EDITS, 2)
    console.print(f"{len(edits):,} edits of {len(training):,} files: {dict(Counter(edit.kind for edit in edits))}")
    held_out_names = {edit.span.name for edit in others}

    def split(spans: Sequence[CommitSpan]) -> dict[Slice, list[CommitSpan]]:
        rest = [span for span in spans if span.name not in held_out_names]
        validation = round(_VALIDATION_SHARE * len(rest))
        return {
            Slice.TRAINING: rest[validation:],
            Slice.VALIDATION: rest[:validation],
            Slice.HELD_OUT: [span for span in spans if span.name in held_out_names],
        }

    config = settings.load({"model": {"name": "bundled"}})
    options = EditOptions(
        [], rank=rank, epochs=epochs, device="cpu", row_tokens=_MAX_TOKENS, batch_tokens=_BATCH_TOKENS
    )
    spans = [edit.span for edit in (*edits, *others)]
    plan = plan_edits(options, config, ignore_progress, spans, {}, split)
    base = training_base.identify(plan.checkpoint, "bundled")
    request = train_adapter.Request(name, {}, minutes)
    return train_adapter.run_plan(console, request, options, plan, base.name)


def measure(name: str, count: int, file: Path | None, site_packages: Sequence[Path]) -> int:
    """Print how the base and the newest version make edits of the held-out packages."""
    _, held_out = read_sources(site_packages)
    edits = [
        edit for edit in make_edits(held_out, 4 * count, 3) if len(edit.span.before) < _MAX_MEASURED_CHARS
    ][:count]  # fmt: skip
    tasks = [
        dataclasses.replace(gate_edits.task_of(edit.change, edit.span), language="python", kind=edit.kind)
        for edit in edits
    ]
    config = settings.load({"model": {"name": "bundled"}})
    with gate_edits.open_sides(AdapterVersions(name).find(), None) as sides:
        pairs = asyncio.run(answer_alternately(tasks, sides, config))
    if file is not None:
        rows = [[dataclasses.asdict(side) for side in pair] for pair in pairs]
        file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print_table(pairs)
    return 0


def print_table(pairs: Sequence[EditPair]) -> None:
    """Shares by kind: of the adapter, and of the base in brackets."""
    by_kind: dict[str, list[EditPair]] = defaultdict(list)
    for pair in pairs:
        by_kind[pair[0].kind].append(pair)
    table = Table("kind", "edits", *Outcome, "only intended lines", "ms", title="adapter (base), % of the edits")
    for kind, own in (*sorted(by_kind.items()), ("all", list(pairs))):
        cells = []
        for outcome in Outcome:
            base, adapter = (100 * sum(pair[side].outcome is outcome for pair in own) / len(own) for side in (0, 1))
            cells.append(f"{adapter:.0f} ({base:.0f})")
        only = [100 * sum(pair[side].is_only_intended for pair in own) / len(own) for side in (0, 1)]
        times = [sorted(pair[side].elapsed_ms for pair in own)[len(own) // 2] for side in (0, 1)]
        table.add_row(kind, str(len(own)), *cells, f"{only[1]:.0f} ({only[0]:.0f})", f"{times[1]:.0f} ({times[0]:.0f})")
    Console(width=140).print(table)


def show(count: int, site_packages: Sequence[Path]) -> int:
    """Print some edits of the held-out packages."""
    for edit in make_edits(read_sources(site_packages)[1], count, 3):
        print(f"=== {edit.kind}: {edit.span.subject}\n{edit.span.before}\n--- becomes\n{edit.span.after}\n")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("train", "measure", "show"))
    parser.add_argument("name", nargs="?", default="edits")
    parser.add_argument("--edits", type=int, default=0, help="number of edits; 0: 12,000, 300 or 13")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--json", type=Path, default=None, help="write the answers to this file")
    parser.add_argument("--site-packages", type=Path, action="append", help="folders of installed packages")
    arguments = parser.parse_args()
    folders = arguments.site_packages or [Path(sysconfig.get_paths()["purelib"])]
    if arguments.command == "train":
        return train(
            arguments.name, arguments.edits or 12_000, arguments.minutes, arguments.rank, arguments.epochs, folders
        )
    if arguments.command == "measure":
        return measure(arguments.name, arguments.edits or 300, arguments.json, folders)
    return show(arguments.edits or 13, folders)


if __name__ == "__main__":
    sys.exit(main())
