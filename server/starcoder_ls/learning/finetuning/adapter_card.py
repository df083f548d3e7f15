"""The README of a trained adapter, in the Hub's form: base, data, licences of the files, figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

_TEMPLATE = """---
base_model: {base}
library_name: peft
tags: [{tags}, starcoder-ls]
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

A lower loss does not mean more correct {answers}. `starcoder-ls train gate {name}` measures these.
"""
_LICENCES = "\n## Licences in the headers of the files\n\n"


PREFERENCES = "preferences"
"""The `objective` in training.json of an adapter that was trained on preferences; one that learned code has none."""
EDITS = "edits"
"""The `objective` in training.json of an adapter that was trained on edits."""


class Licensed(Protocol):
    """What has the licence of a file: the file, or an edit of it."""

    @property
    def licence(self) -> str: ...


def count_licences(texts: Sequence[Licensed]) -> dict[str, int]:
    """Files, or edits of them, by the licence of the file's header, the most frequent first."""
    return dict(Counter(text.licence or "none stated" for text in texts).most_common())


def unit_of(training: Mapping[str, Any]) -> str:
    """What the slices of a version have: "files", or "edits"."""
    return EDITS if training.get("objective") == EDITS else "files"


def build_card(name: str, training: Mapping[str, Any]) -> str:
    """The card of a version whose training.json is ``training``."""
    before, after = training["held_out_loss"]["base"], training["held_out_loss"]["adapted"]
    objective, unit = training.get("objective"), unit_of(training)
    folders = ", ".join(training["folders"])
    facts = {
        "method": training["method"],
        "base": f"{training['base']} ({training['fingerprint']})",
        unit: ", ".join(f"{count} {part}" for part, count in training["files"].items()),
        "tokens": f"{training['tokens']:,} in the {unit}, {training['trained_tokens']:,} read",
        "steps": f"{training['steps']:,} of {training['planned_steps']:,}",
        "time": f"{training['seconds'] / 60:.1f} minutes on {training['device']}",
        "made": training["made"],
    }
    if training.get("replay_files"):
        facts["general code"] = f"{len(training['replay_files'])} files, {training['replay_share']:.0%} of the examples"
    figures = {"all tokens": (before["loss"], after["loss"]), "middles": (before["middle_loss"], after["middle_loss"])}
    data = f"the source code of {folders}, for completion in that code"
    if objective == EDITS:
        figures = {"answers": figures["middles"]}
        data = f"the edits in the git history of {folders}, for actions that change code"
        facts["format"] = training["edit_format"]
    elif objective == PREFERENCES:
        data = "what became of suggestions"
        facts["tokens"] = f"{training['tokens']:,} in the examples, {training['trained_tokens']:,} read"
        facts["examples"] = ", ".join(f"{count} {part}" for part, count in training["examples"].items())
        facts["started from"] = training["start"] or "the base"
        figures = {"loss": (before["loss"], after["loss"]), "agreement": tuple(training["agreement"].values())}
    card = _TEMPLATE.format(
        name=name,
        base=training["base"],
        tags="code-editing" if objective == EDITS else "fill-in-the-middle",
        data=data,
        facts="\n".join(f"| {key} | {value} |" for key, value in facts.items()),
        held_out="Held-out preferences" if objective == PREFERENCES else "Held-out loss, in nats",
        figures="\n".join(f"| {key} | {first:.3f} | {second:.3f} |" for key, (first, second) in figures.items()),
        answers="edits" if objective == EDITS else "suggestions",
    )
    licences = "\n".join(f"- {licence}: {count} {unit}" for licence, count in training["licences"].items())
    return card + (f"{_LICENCES}{licences}\n" if licences else "")
