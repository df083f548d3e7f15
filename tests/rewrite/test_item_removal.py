"""A removed statement takes its comments with it, and nothing else."""

from __future__ import annotations

from starcoder_ls.rewrite.item_removal import remove_items
from starcoder_ls.syntax.items import read_items

TEXT = "import a\n\n# apart\n\n# of f\ndef f(): ...\n\n\n# of g\ndef g(): ...\n"


def test_removed_items_take_the_comments_right_above_with_them() -> None:
    items = read_items(TEXT, "python") or []
    removed = [item for item in items if item.name == "f"]
    assert remove_items(TEXT, items, removed) == "import a\n\n# apart\n\n\n# of g\ndef g(): ..."


def test_text_without_removed_items_loses_only_its_outer_line_ends() -> None:
    assert remove_items(f"\n{TEXT}", read_items(TEXT, "python") or [], []) == TEXT.strip("\n")
