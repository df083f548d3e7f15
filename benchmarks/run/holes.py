"""What each rule of the server is worth: a fixed set of holes in the held-out packages, through the real server.

Each run changes one thing and is compared with the first, hole by hole; the last is the same model without the server's
rules. The table replaces the block of the document that is named in it.

    python benchmarks/run/holes.py [--holes 40] [--seed 0] [--model bundled] [--runs shipped,psm] [--into PAGE.md]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from starcoder_ls import settings
from starcoder_ls.commands.eval_card import held_out_sources
from starcoder_ls.commands.eval_holes import Asked, Served, as_run, drawn, measured, overrides
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.evaluation import ablation, baseline_completer, comparison, completion_client, results
from starcoder_ls.evaluation.holes import Kind
from starcoder_ls.evaluation.results import Run

BLOCK = "holes"
PLAIN = "plain prompt, its first line"
stderr = Console(stderr=True, highlight=False, markup=False)


@dataclass(frozen=True, slots=True)
class Change:
    """``changed`` is sent to the server, ``model`` is put into the `[model]` table it reads at its start."""

    name: str
    changed: tuple[str, ...] = ()
    model: str = ""


CHANGES = {
    "shipped": Change("as shipped"),
    "healing": Change("half-typed words are not healed", ("inline_completion.heal_words=false",)),
    "evidence": Change("no evidence of other files", ("context.evidence=false",)),
    "ngrams": Change("no n-grams of the document", model='document_ngrams = "off"'),
    "prompt": Change("512 tokens of other files in the prompt", ("context.prompt_tokens=512",)),
    "psm": Change("PSM", ("inline_completion.fim_order='psm'",)),
    "psm-line": Change("PSM, the cursor's line last", ("inline_completion.fim_order='psm_line'",)),
}


def workspace(folder: Path) -> None:
    """The held-out packages as one repository."""
    (folder / ".git").mkdir()
    for source in held_out_sources():
        path = folder / source.package / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.text, encoding="utf-8")


def run(change: Change, code: Path, given: argparse.Namespace) -> Run:
    file = _settings_file(code, change.model)
    arguments = ["--model", given.model, "--settings", str(file)]
    served = Served(arguments, {"model": {"name": given.model}}, overrides(change.changed), file)
    return measured(Asked([code], given.holes, given.seed), served)


def _settings_file(code: Path, model: str) -> Path:
    """So that no settings of whoever runs this count."""
    file = code.parent / "settings.toml"
    file.write_text(f"[model]\n{model}\n", encoding="utf-8")
    return file


def run_plain(code: Path, given: argparse.Namespace) -> Run:
    """The same holes, filled by the same model without the server's rules."""
    chosen = settings.load({"model": {"name": given.model, "document_ngrams": "off"}}, file=_settings_file(code, ""))
    asked = Asked([code], given.holes, given.seed)
    repository, cut = drawn(asked, chosen)
    with loaded_engine(chosen) as engine:

        async def fill() -> list[results.ScoredHole]:
            filled = []
            for hole in track(cut, description="filling holes", console=stderr):
                text, elapsed_ms = await baseline_completer.suggest_first_line(engine, hole, chosen.inline_completion)
                name = repository.name_of(hole.source)
                language = repository.language_of(hole.source.path)
                filled.append(results.score_hole(hole, name, language, text, elapsed_ms))
            return filled

        status = engine.status()
        about = completion_client.ServerInfo(status.model, status.device, ())
        return as_run(repository, asked, about, {}, asyncio.run(fill()))


def against_plain(shipped: Run, bare: Run) -> str:
    """The sentences for all holes, and for those that one line can fill."""
    pairs = comparison.pair_holes(bare, shipped, (PLAIN, CHANGES["shipped"].name))
    groups = {"All holes": pairs, "Without blocks": [pair for pair in pairs if pair[0].kind is not Kind.BLOCK]}
    found = {name: comparison.compute_verdict(chosen) for name, chosen in groups.items()}
    return "\n".join(
        f"- {name}: {verdict.sentence('the baseline', 'shipped')} {verdict.latency_sentence('shipped')}"
        for name, verdict in found.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--holes", type=int, default=40, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--runs", default=",".join(CHANGES))
    parser.add_argument("--into", type=Path, help="the document whose block the table replaces")
    given = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        code = Path(place, "held-out")
        code.mkdir()
        workspace(code)
        runs = []
        for name in given.runs.split(","):
            stderr.print(CHANGES[name].name)
            runs.append((CHANGES[name].name, run(CHANGES[name], code, given)))
        stderr.print(PLAIN)
        bare = run_plain(code, given)
    made, minutes = runs[0][1], (time.monotonic() - began_s) / 60
    files = len({hole.path for hole in made.holes})
    said = (
        f"{made.made[:10]}, {made.model} on {made.device}, {made.machine}, {minutes:.0f} min: {len(made.holes)} holes "
        f"in {files} files of the held-out packages, seed {given.seed}. Each run but the first changes one thing; "
        "the last is what the server is held against: text around the cursor, no healing, no n-grams, no other files, "
        "cut after its first line with content. *Time* is the median over holes of the ratio to the first run, each "
        "file read anew for its hole; it says little where the machine had other work."
    )
    block = f"{said}\n\n{ablation.render_table([*runs, (PLAIN, bare)])}\n\n{against_plain(made, bare)}"
    print(block)
    if given.into is not None:
        document = given.into.read_text(encoding="utf-8")
        results.write_text(ablation.replace_block(document, BLOCK, block), given.into)


if __name__ == "__main__":
    main()
