"""``starcoder-ls train list``: the adapters that were trained here, their versions, and which of them serves."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from starcoder_ls.commands.support.watched_promotions import watched_effects


def run(is_json: bool) -> int:
    """Print the versions of all adapters, and how those that are watched do. The exit code is 0.

    Raises FeedbackStoreUnreadable.
    """
    from starcoder_ls.learning.finetuning.versions import AdapterVersions, adapter_names

    rows = [row for name in adapter_names() for row in _describe(AdapterVersions(name))]
    watched = [effect.sentence for effect in watched_effects()]
    if is_json:
        print(json.dumps({"versions": rows, "watched": watched}, ensure_ascii=False))
    elif not rows:
        print("no adapter was trained here yet; train one with `starcoder-ls train adapter PATH --name NAME`")
    else:
        copied = [Column(name, no_wrap=True, overflow="fold") for name in ("name", "version")]
        losses = Column("held-out middles", min_width=13)
        table = Table(*copied, "serves", "base", "method", losses, "gate", box=None, padding=(0, 1, 0, 0))
        for row in rows:
            serves = "yes" if row["is_current"] else ""
            table.add_row(*(row[key] for key in ("name", "version")), serves, *_cells(row))
        console = Console(highlight=False, markup=False)
        console.print(table)
        for sentence in watched:
            console.print(sentence)
    return 0


def _describe(versions: Any) -> list[dict[str, Any]]:
    current = versions.current()
    rows = []
    for version in versions.all_versions():
        losses = version.training.get("held_out_loss")
        rows.append(
            {
                "name": versions.name,
                "version": version.name,
                "is_current": current is not None and version.name == current.name,
                "base": version.training.get("base", ""),
                "method": version.training.get("method", ""),
                "middle_loss": losses and [losses[side]["middle_loss"] for side in ("base", "adapted")],
                "gate": version.gate.get("sentence", ""),
                "has_passed": version.gate.get("is_passed"),
            }
        )
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    losses = row["middle_loss"]
    gate = {None: "not measured", True: "passed", False: "refused"}[row["has_passed"]]
    return [row["base"], row["method"], f"{losses[0]:.3f} → {losses[1]:.3f}" if losses else "", gate]
