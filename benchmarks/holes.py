"""What each rule of the server is worth: a fixed set of holes in the held-out packages, through the real server.

Each run changes one thing and is compared with the first, hole by hole. The table replaces the block of docs/quality.md
that is named in it.

    python benchmarks/holes.py [--holes 40] [--seed 0] [--model bundled] [--runs shipped,psm] [--into docs/quality.md]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from starcoder_ls.commands.evaluate import held_out
from starcoder_ls.commands.holes import Asked, Served, measured, overrides
from starcoder_ls.evaluation import ablation, results
from starcoder_ls.evaluation.results import Run

BLOCK = "holes"
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
    for source in held_out():
        path = folder / source.package / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.text, encoding="utf-8")


def run(change: Change, code: Path, given: argparse.Namespace) -> Run:
    settings = code.parent / f"{len(list(code.parent.iterdir()))}.toml"
    settings.write_text(f"[model]\n{change.model}\n", encoding="utf-8")
    arguments = ["--model", given.model, "--settings", str(settings)]
    served = Served(arguments, {"model": {"name": given.model}}, overrides(change.changed), settings)
    return measured(Asked([code], given.holes, given.seed), served)


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
    made, minutes = runs[0][1], (time.monotonic() - began_s) / 60
    files = len({hole.path for hole in made.holes})
    said = (
        f"{made.made[:10]}, {made.model} on {made.device}, {made.machine}, {minutes:.0f} min: {len(made.holes)} holes "
        f"in {files} files of the held-out packages, seed {given.seed}. Each run but the first changes one thing. "
        "*Time* is the median over holes of the ratio to the first run, each file read anew for its hole."
    )
    block = f"{said}\n\n{ablation.table(runs)}"
    print(block)
    if given.into is not None:
        document = given.into.read_text(encoding="utf-8")
        results.write_text(ablation.placed(document, BLOCK, block), given.into)


if __name__ == "__main__":
    main()
