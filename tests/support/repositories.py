"""A small repository on disk, and runs over holes in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from starcoder_ls.evaluation import results
from starcoder_ls.evaluation.holes import SYNTAX_KINDS, Hole
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.evaluation.results import Run

SHOP = '''"""Sells things."""


class Shop:
    def __init__(self, name, price):
        self.name = name
        self.price = price

    def label(self):
        label = f"{self.name}: {self.price}"
        return label.upper()
'''
LIST = """function label(item) {
  const name = item.name;
  return name + item.price;
}
"""


def repository(folder: Path) -> Path:
    """``folder`` with Python and JavaScript files, an ignored file and one that looks like a secret."""
    (folder / ".git").mkdir()
    (folder / ".gitignore").write_text("build/\n")
    for name, text in (
        ("shop/shop.py", SHOP),
        ("shop/täglich.py", SHOP.replace("Shop", "Täglich")),
        ("web/list.js", LIST),
        ("build/made.py", SHOP.replace("Shop", "Ignored")),
        (".aws/shop.py", SHOP.replace("Shop", "Secret")),
        ("notes.txt", "class Notes:\n    name = 'text'\n"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run_of(folder: Path, suggestion: Callable[[Hole], str], per_kind: int = 4, seed: int = 0) -> Run:
    """A run over holes in ``folder`` that ``suggestion`` fills; the answer to the n-th hole takes n ms."""
    files = Repository([folder])
    drawn = files.draw_holes(SYNTAX_KINDS, per_kind, seed)
    return Run(
        made="2026-11-21T10:00:00+00:00",
        version="0",
        model="scripted",
        device="cpu",
        adapters=[],
        overrides={},
        machine="a machine",
        folders=[folder.name],
        files=len(files.files),
        seed=seed,
        wanted_per_kind=per_kind,
        sources=results.hash_sources(drawn, files.name_of),
        holes=[
            results.score_hole(
                hole, files.name_of(hole.source), files.language_of(hole.source.path), suggestion(hole), number
            )
            for number, hole in enumerate(drawn, 1)
        ],
    )
