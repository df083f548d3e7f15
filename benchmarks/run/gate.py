"""The gate of trained adapters on adapters of which the right verdict is known, and without any difference.

    python benchmarks/run/gate.py control FOLDER [--files 24] [--epochs 12]   # trained on held-out files: must pass
                                                                  [--method full] [--rate RATE]
                                                                  [--replay FOLDER] [--replay-share 0.5]
    python benchmarks/run/gate.py record NAME FILE [--foreign FOLDER]          # fills all holes once
    python benchmarks/run/gate.py resample FILE... [--runs 200]                # no difference: must not pass
    python benchmarks/run/gate.py same NAME [--runs 3]                         # executed, the sides are equal

`record` and `same` need a version of `train adapter`. `STARCODER_LS_STATE` decides where versions are.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from starcoder_ls import settings
from starcoder_ls.commands import train_adapter, train_gate
from starcoder_ls.commands.support.gate_holes import GateHoles, Side
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.gate import Code, HeldOutLoss, Verdict, merge_pairs, run_gate
from starcoder_ls.evaluation.results import ScoredHole
from starcoder_ls.evaluation.sequential_test import STAGE_HOLES
from starcoder_ls.learning.finetuning import training_base
from starcoder_ls.learning.finetuning.fim_rows import REPLAY_SHARE, FimRows, RowFormat
from starcoder_ls.learning.finetuning.preparation import Options, Plan, prepare
from starcoder_ls.learning.finetuning.slices import Slice
from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version

LOWER_LOSS, MANY_FILES = HeldOutLoss(base=1.0, candidate=0.9), 100
"""So that holes decide."""
_MIN_FILE_CHARS, _MAX_FILE_CHARS = 2_000, 16_000
_ROW_TOKENS = 1024


def train_control(options: Options, files: int, foreign: Path | None) -> int:
    """Train a version on the very files in which the gate draws its holes, and let the gate decide."""
    config = settings.load()
    plan = without_held_out(prepare(options, config, ignore_progress), files, options.epochs)
    name = f"control-{options.paths[0].resolve().name}"
    base = training_base.identify(plan.checkpoint, config.model.name)
    console = Console(highlight=False)
    console.print(f"{len(plan.slices[Slice.TRAINING])} files, {plan.tokens:,} tokens in {plan.steps:,} steps")
    train_adapter.train_version(console, train_adapter.Request(name, {}), options, plan, base)
    return train_gate.run(name, None, foreign, None)


def without_held_out(plan: Plan, count: int, epochs: float) -> Plan:
    """``plan`` with the same ``count`` files in all slices."""
    usable = [
        file for files in plan.slices.values() for file in files if _MIN_FILE_CHARS < len(file.text) < _MAX_FILE_CHARS
    ]
    chosen = sorted(usable, key=lambda file: file.name)[:count]
    texts = [(file.name, file.text) for file in chosen]
    batch_rows = plan.batch_tokens // _ROW_TOKENS
    row_format = RowFormat.of(plan.checkpoint, plan.tokenizer)
    rows = {
        part: FimRows(
            texts,
            row_format,
            _ROW_TOKENS,
            batch_rows,
            epochs if part is Slice.TRAINING else 1.0,
            seed=number,
            replay=[(file.name, file.text) for file in plan.replay] if part is Slice.TRAINING else (),
            replay_share=plan.replay_share,
        )
        for number, part in enumerate(Slice)
    }
    return dataclasses.replace(plan, slices=dict.fromkeys(Slice, chosen), rows=rows)


def fill_all(version: Version, foreign: Path | None) -> dict[str, list[Pair]]:
    """All holes that the gate may draw, as base and version fill them."""
    with tempfile.TemporaryDirectory() as folder:
        holes = GateHoles(version, settings.load(), Path(folder), foreign)
        held_out: list[Pair] = []
        for stage, count in enumerate(STAGE_HOLES):
            new = count - (STAGE_HOLES[stage - 1] if stage else 0)
            held_out = merge_pairs(held_out, holes(Code.HELD_OUT, new, stage))
        return {Code.HELD_OUT: held_out, Code.FOREIGN: holes(Code.FOREIGN, 200, 0)}


def write_pairs(pairs: dict[str, list[Pair]], file: Path) -> None:
    tree = {code: [[hole.model_dump(mode="json") for hole in pair] for pair in found] for code, found in pairs.items()}
    file.write_text(json.dumps(tree), encoding="utf-8")


def read_pairs(file: Path) -> dict[Code, list[Pair]]:
    tree = json.loads(file.read_text(encoding="utf-8"))
    return {
        Code(code): [(ScoredHole.model_validate(first), ScoredHole.model_validate(second)) for first, second in found]
        for code, found in tree.items()
    }


class Resampled:
    """Holes of a recorded run, drawn by file with replacement, with the sides exchanged in each file by chance.

    Neither side is better then, while holes of a file depend on each other as they really do.
    """

    def __init__(self, recorded: dict[Code, list[Pair]], rng: random.Random) -> None:
        self._recorded, self._rng = recorded, rng
        self._drawn: dict[Code, list[Pair]] = {code: [] for code in Code}

    def __call__(self, code: Code, holes: int, _seed: int) -> list[Pair]:
        waiting = self._drawn[code]
        while len(waiting) < holes:
            waiting += self._draw_file(code, len(waiting))
        taken, self._drawn[code] = waiting[:holes], waiting[holes:]
        return taken

    def _draw_file(self, code: Code, number: int) -> list[Pair]:
        pairs = self._recorded[code]
        path = self._rng.choice(sorted({first.path for first, _ in pairs}))
        is_exchanged, copy = self._rng.random() < 0.5, self._rng.random()
        drawn = []
        for first, second in pairs:
            if first.path == path:
                names = {"path": f"{path}/{copy}", "id": f"{first.id}/{copy}/{number}"}
                pair = (second, first) if is_exchanged else (first, second)
                drawn.append((pair[0].model_copy(update=names), pair[1].model_copy(update=names)))
        return drawn


def resample(files: Sequence[Path], runs: int) -> int:
    """How many of ``runs`` gates without a difference pass, for each recording. The exit code is 0 if 2.5 % at most."""
    are_rare = True
    for file in files:
        recorded, reasons = read_pairs(file), Counter[str]()
        shifted = [_shift_times(recorded)]
        for number in range(runs):
            verdict = run_gate(
                "own", LOWER_LOSS, MANY_FILES, Resampled(shifted[0], random.Random(number)), lambda: iter(())
            )
            reasons[_reason(verdict)] += 1
        passed = reasons["passed"]
        print(f"{file.name}: {passed} of {runs} passed ({100 * passed / runs:.1f} %); {dict(reasons)}")
        are_rare = are_rare and passed <= 0.025 * runs
    return 0 if are_rare else 1


def _shift_times(recorded: dict[Code, list[Pair]]) -> dict[Code, list[Pair]]:
    """Equal times on both sides, so that the guard of the time never decides."""
    return {
        code: [(first, second.model_copy(update={"elapsed_ms": first.elapsed_ms})) for first, second in pairs]
        for code, pairs in recorded.items()
    }


def _reason(verdict: Verdict) -> str:
    if verdict.is_passed:
        return "passed"
    failed = [guard.name for guard in verdict.guards if not guard.is_passed]
    return f"guard: {failed[0]}" if failed else f"no gain after {verdict.stages[-1].holes} holes"


class SameSides(GateHoles):
    """Both sides are the candidate."""

    def sides(self) -> tuple[Side, Side]:
        candidate = super().sides()[1]
        return candidate, candidate


def run_same(name: str, runs: int, foreign: Path | None) -> int:
    """Executed gates of a version beside itself, with other holes each time. Prints the verdicts."""
    version, passed = AdapterVersions(name).find(), 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            holes = SameSides(version, settings.load(), Path(folder), foreign)
            verdict = run_gate(
                name, LOWER_LOSS, MANY_FILES, functools.partial(_shift_seed, holes, number), lambda: iter(())
            )
            passed += verdict.is_passed
            print(verdict.sentence, flush=True)
    print(f"{passed} of {runs} passed")
    return passed


def _shift_seed(holes: GateHoles, run: int, code: Code, count: int, seed: int) -> list[Pair]:
    return holes(code, count, seed + len(STAGE_HOLES) * run)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    control = parts.add_parser("control")
    control.add_argument("folder", type=Path)
    control.add_argument("--files", type=int, default=24)
    control.add_argument("--epochs", type=float, default=12.0)
    control.add_argument("--rank", type=int, default=64)
    control.add_argument("--method", default="lora")
    control.add_argument("--rate", type=float, default=0.0)
    control.add_argument("--replay", type=Path, action="append", default=[])
    control.add_argument("--replay-share", type=float, default=REPLAY_SHARE)
    record = parts.add_parser("record")
    record.add_argument("name")
    record.add_argument("file", type=Path)
    resampled = parts.add_parser("resample")
    resampled.add_argument("files", type=Path, nargs="+")
    resampled.add_argument("--runs", type=int, default=200)
    same = parts.add_parser("same")
    same.add_argument("name")
    same.add_argument("--runs", type=int, default=3)
    for part in (control, record, same):
        part.add_argument("--foreign", type=Path)
    options = parser.parse_args()
    if options.part == "control":
        training = Options(
            [options.folder],
            method=options.method,
            rank=options.rank,
            epochs=options.epochs,
            learning_rate=options.rate,
            replay=options.replay,
            replay_share=options.replay_share,
        )
        return train_control(training, options.files, options.foreign)
    if options.part == "record":
        write_pairs(fill_all(AdapterVersions(options.name).find(), options.foreign), options.file)
        return 0
    if options.part == "resample":
        return resample(options.files, options.runs)
    return run_same(options.name, options.runs, options.foreign)


if __name__ == "__main__":
    raise SystemExit(main())
