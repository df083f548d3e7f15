"""The output of ``setup --json``, one JSON object per line: the list of models, or what happens while one is set up.

The clients of the editors read it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starcoder_ls.commands.support.machine import Machine
from starcoder_ls.commands.support.proposals import Proposal
from starcoder_ls.errors import DiskFull, HubUnreachable, ModelGated, StarcoderError, TokenRejected

_KINDS = ((TokenRejected, "token"), (ModelGated, "licence"), (DiskFull, "disk"), (HubUnreachable, "connection"))


def print_list(machine: Machine, offered: Sequence[Proposal], file: Path) -> None:
    """``file`` is the settings file that a choice is written to."""
    described = {
        "device": machine.device,
        "name": machine.name,
        "freeBytes": round(machine.free_bytes),
        "freeDiskBytes": round(machine.free_disk_bytes),
    }
    _print({"machine": described, "models": [proposal.to_json() for proposal in offered], "settingsFile": str(file)})


def print_progress(fraction: float, message: str) -> None:
    """A ``ProgressCallback``."""
    _print({"progress": round(fraction, 4), "message": message})


def print_result(choice: Proposal, file: Path) -> None:
    _print({"written": str(file), "model": choice.model, "adapter": choice.adapter})


def print_error(error: StarcoderError, model: str) -> None:
    """``kind`` is licence, token, disk, connection or other; it decides which remedies an editor offers."""
    from starcoder_ls.engine.loading.hub_errors import licence_page, login_command

    kind = next((name for error_type, name in _KINDS if isinstance(error, error_type)), "other")
    described = {"message": str(error), "kind": kind}
    if kind == "licence":
        described["page"] = licence_page(model)
    if kind in ("licence", "token"):
        described["login"] = login_command().strip("`")
    _print({"error": described})


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)
