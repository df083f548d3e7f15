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

Trained by starcoder-ls on the source code of {folders}, for completion in that code. It was made on this machine from
private files: do not publish it without the consent of their owners. Strings that look like secrets were masked.

| | |
|---|---|
{facts}

## Held-out loss, in nats

| | base | adapted |
|---|---|---|
| all tokens | {base_loss:.3f} | {loss:.3f} |
| middles | {base_middle:.3f} | {middle:.3f} |

A lower loss does not mean more correct suggestions. `starcoder-ls train gate {name}` measures these.

## Licences in the headers of the files

{licences}
"""


def count_licences(files: Sequence[CodeFile]) -> dict[str, int]:
    """Files by the licence of their header, the most frequent first."""
    return dict(Counter(file.licence or "none stated" for file in files).most_common())


def build_card(name: str, training: Mapping[str, Any]) -> str:
    """The card of a version whose training.json is ``training``."""
    before, after = training["held_out_loss"]["base"], training["held_out_loss"]["adapted"]
    facts = {
        "method": training["method"],
        "base": f"{training['base']} ({training['fingerprint']})",
        "files": ", ".join(f"{count} {part}" for part, count in training["files"].items()),
        "tokens": f"{training['tokens']:,} in the files, {training['trained_tokens']:,} read",
        "steps": f"{training['steps']:,} of {training['planned_steps']:,}",
        "time": f"{training['seconds'] / 60:.1f} minutes on {training['device']}",
        "made": training["made"],
    }
    licences = "\n".join(f"- {licence}: {count} files" for licence, count in training["licences"].items())
    return _TEMPLATE.format(
        name=name,
        base=training["base"],
        folders=", ".join(training["folders"]),
        facts="\n".join(f"| {key} | {value} |" for key, value in facts.items()),
        base_loss=before["loss"],
        loss=after["loss"],
        base_middle=before["middle_loss"],
        middle=after["middle_loss"],
        licences=licences,
    )
