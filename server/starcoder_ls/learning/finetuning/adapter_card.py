"""The README of a trained adapter, in the Hub's form: base, data, licences of the files, figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from starcoder_ls.learning.finetuning.repository_files import CodeFile

_TEMPLATE = """---
base_model: {base}
library_name: peft
tags: [fill-in-the-middle, starcoder-ls]
---

# {name}

Trained by starcoder-ls on {data}. It was made on this machine from
private files: do not publish it without the consent of their owners. Strings that look like secrets were masked.

| | |
|---|---|
{facts}

## {held_out}

| | before | after |
|---|---|---|
{figures}

A lower loss does not mean more correct suggestions. `starcoder-ls train gate {name}` measures these.
"""
_LICENCES = "\n## Licences in the headers of the files\n\n"


PREFERENCES = "preferences"
"""The `objective` in training.json of an adapter that was trained on preferences; one that learned code has none."""


def count_licences(files: Sequence[CodeFile]) -> dict[str, int]:
    """Files by the licence of their header, the most frequent first."""
    return dict(Counter(file.licence or "none stated" for file in files).most_common())


def build_card(name: str, training: Mapping[str, Any]) -> str:
    """The card of a version whose training.json is ``training``."""
    before, after = training["held_out_loss"]["base"], training["held_out_loss"]["adapted"]
    is_code = training.get("objective") != PREFERENCES
    folders = ", ".join(training["folders"])
    facts = {
        "method": training["method"],
        "base": f"{training['base']} ({training['fingerprint']})",
        "files": ", ".join(f"{count} {part}" for part, count in training["files"].items()),
        "tokens": f"{training['tokens']:,} in the files, {training['trained_tokens']:,} read",
        "steps": f"{training['steps']:,} of {training['planned_steps']:,}",
        "time": f"{training['seconds'] / 60:.1f} minutes on {training['device']}",
        "made": training["made"],
    }
    if is_code:
        figures = {
            "all tokens": (before["loss"], after["loss"]),
            "middles": (before["middle_loss"], after["middle_loss"]),
        }
    else:
        facts["tokens"] = f"{training['tokens']:,} in the examples, {training['trained_tokens']:,} read"
        facts["examples"] = ", ".join(f"{count} {part}" for part, count in training["examples"].items())
        facts["started from"] = training["start"] or "the base"
        figures = {"loss": (before["loss"], after["loss"]), "agreement": tuple(training["agreement"].values())}
    card = _TEMPLATE.format(
        name=name,
        base=training["base"],
        data=f"the source code of {folders}, for completion in that code" if is_code else "what became of suggestions",
        facts="\n".join(f"| {key} | {value} |" for key, value in facts.items()),
        held_out="Held-out loss, in nats" if is_code else "Held-out preferences",
        figures="\n".join(f"| {key} | {first:.3f} | {second:.3f} |" for key, (first, second) in figures.items()),
    )
    licences = "\n".join(f"- {licence}: {count} files" for licence, count in training["licences"].items())
    return card + (f"{_LICENCES}{licences}\n" if licences else "")
