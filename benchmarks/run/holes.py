"""What each rule of the server is worth: a fixed set of holes in the held-out packages, through the real server.

Each run changes one thing and is compared with the first run, hole by hole. The last run is the baseline: the same
model without the server's rules. The table replaces a block of the document that ``--into`` names.

    python benchmarks/run/holes.py [--holes 40] [--seed 0] [--model bundled] [--runs shipped,psm] [--into PAGE.md]
    python benchmarks/run/holes.py --model FOLDER --code REPOSITORY... --kinds line,rest

With ``--code`` the holes are in these repositories instead of the held-out packages; ``--set`` changes a setting of
all runs, such as ``inline_completion.prompt_tokens=512``. Answers are kept in ``--keep FOLDER`` as they come, and an
interrupted run is continued there.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from starcoder_ls import settings
from starcoder_ls.commands.eval_card import held_out_sources
from starcoder_ls.commands.eval_holes import (
    continue_run,
    create_run,
    fill_holes,
    measure,
    parse_assignments,
    parse_kinds,
)
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.commands.support.hole_selection import HoleSelection, draw_holes
from starcoder_ls.commands.support.hole_server import ServerLaunch
from starcoder_ls.evaluation import ablation, baseline_completer, comparison, completion_client, results
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.evaluation.results import Run
from starcoder_ls.settings.merge import merge

BLOCK = "holes"
_NOT_IN_BENCH = ("prompt-more", "prompt-none")  # unless named: for models that `auto` gives text of other files
BASELINE = "plain prompt, its first line"
stderr = Console(stderr=True, highlight=False, markup=False)


@dataclass(frozen=True, slots=True)
class Variant:
    """``changed`` are settings sent to the server; ``model`` is written into the `[model]` table of its settings."""

    name: str
    changed: tuple[str, ...] = ()
    model: str = ""


VARIANTS = {
    "shipped": Variant("as shipped"),
    "healing": Variant("no token healing", ("inline_completion.heal_words=false",)),
    "evidence": Variant("no lookup text from other files", ("context.evidence=false",)),
    "ngrams": Variant("no document n-grams", model='document_ngrams = "off"'),
    "prompt": Variant("512 tokens of other files in the prompt", ("context.prompt_tokens=512",)),
    "prompt-more": Variant("1,024 tokens of other files in the prompt", ("context.prompt_tokens=1024",)),
    "prompt-none": Variant("no tokens of other files in the prompt", ("context.prompt_tokens=0",)),
    "psm": Variant("PSM", ("inline_completion.fim_order='psm'",)),
    "psm-line": Variant("PSM, cursor line last", ("inline_completion.fim_order='psm_line'",)),
}


def write_workspace(folder: Path) -> None:
    """Write the held-out packages to ``folder`` as one repository."""
    (folder / ".git").mkdir()
    for source in held_out_sources():
        path = folder / source.package / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.text, encoding="utf-8")


def write_settings(workspace: Path, model: str) -> Path:
    """A settings file with the `[model]` table ``model``, so that the user's own settings have no effect."""
    file = workspace.parent / "settings.toml"
    file.write_text(f"[model]\n{model}\n", encoding="utf-8")
    return file


def select_holes(workspace: Path, options: argparse.Namespace) -> HoleSelection:
    kinds = parse_kinds(options.kinds.split(",")) if options.kinds else ()
    return HoleSelection(options.code or [workspace], options.holes, options.seed, kinds)


def run_variant(name: str, workspace: Path, options: argparse.Namespace) -> Run:
    variant = VARIANTS[name]
    settings_file = write_settings(workspace, variant.model)
    arguments = ["--model", options.model, "--settings", str(settings_file)]
    changed = parse_assignments([*options.set, *variant.changed])
    launch = ServerLaunch(arguments, {"model": {"name": options.model}}, changed, settings_file)
    answers = options.keep / f"{name}.json" if options.keep else None
    return measure(select_holes(workspace, options), launch, answers)


def run_baseline(workspace: Path, options: argparse.Namespace) -> Run:
    """The same holes, filled by the same model without the server's rules."""
    overlay = merge({"model": {"name": options.model, "document_ngrams": "off"}}, parse_assignments(options.set))
    config = settings.load(overlay, file=write_settings(workspace, ""))
    selection = select_holes(workspace, options)
    repository, holes = draw_holes(selection, config)
    with loaded_engine(config) as engine:

        async def suggest_first_line(hole: Hole) -> tuple[str, float]:
            return await baseline_completer.suggest_first_line(engine, hole, config.inline_completion)

        status = engine.status()
        info = completion_client.ServerInfo(status.model, status.device, ())
        kept = continue_run(options.keep and options.keep / "baseline.json", selection, info, overlay)
        scored = asyncio.run(fill_holes(repository, holes, kept, selection.has_texts, suggest_first_line))
        return create_run(repository, selection, info, overlay, scored)


def compare_with_baseline(shipped: Run, baseline: Run) -> str:
    """The verdicts over all holes, and over those that a single line can fill."""
    pairs = comparison.pair_holes(baseline, shipped, (BASELINE, VARIANTS["shipped"].name))
    groups = {"All holes": pairs, "Without blocks": [pair for pair in pairs if pair[0].kind is not Kind.BLOCK]}
    lines = []
    for name, group in groups.items():
        verdict = comparison.compute_verdict(group)
        sentences = verdict.sentence("the baseline", "shipped"), verdict.latency_sentence("shipped")
        lines.append(f"- {name}: {' '.join(sentences)}")
    return "\n".join(lines)


def render_block(runs: list[tuple[str, Run]], baseline: Run, seed: int, minutes: float) -> str:
    """The block of the document: how the runs were made, the table, and the comparison with the baseline."""
    shipped = runs[0][1]
    files = len({hole.path for hole in shipped.holes})
    description = (
        f"{shipped.made[:10]}, {shipped.model} on {shipped.device}, {shipped.machine}, {minutes:.0f} min: "
        f"{len(shipped.holes)} holes in {files} files of {', '.join(shipped.folders)}, seed {seed}. "
        "Each run but the first changes one thing. The last run is the baseline: text around the cursor, no token "
        "healing, no n-grams, no other files, cut after its first line that is not blank. *Time* is the median over "
        "holes of the ratio to the first run, each hole starts with a cold cache; it means little if the machine was "
        "busy."
    )
    table = ablation.render_table([*runs, (BASELINE, baseline)])
    return f"{description}\n\n{table}\n\n{compare_with_baseline(shipped, baseline)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--holes", type=int, default=40, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--runs", default=",".join(name for name in VARIANTS if name not in _NOT_IN_BENCH))
    parser.add_argument("--into", type=Path, help="the document whose block the table replaces")
    parser.add_argument("--code", type=Path, nargs="+", help="repositories to draw holes in")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of all runs")
    parser.add_argument("--kinds", default="", help="line, rest, block, span; all without it")
    parser.add_argument("--keep", type=Path, help="an existing folder for answers, to continue an interrupted run")
    options = parser.parse_args()
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder, "held-out")
        workspace.mkdir()
        write_workspace(workspace)
        runs = []
        for name in options.runs.split(","):
            stderr.print(VARIANTS[name].name)
            runs.append((VARIANTS[name].name, run_variant(name, workspace, options)))
        stderr.print(BASELINE)
        baseline = run_baseline(workspace, options)
    block = render_block(runs, baseline, options.seed, (time.monotonic() - started_s) / 60)
    print(block)
    if options.into is not None:
        document = options.into.read_text(encoding="utf-8")
        results.write_text(ablation.replace_block(document, BLOCK, block), options.into)


if __name__ == "__main__":
    main()
