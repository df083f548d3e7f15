"""The answers of a gate that has not ended, so that ``train gate`` continues it after an interruption.

Decides what must be the same: program, settings, weights on both sides, and all held-out code. Then a later gate has
the same holes or edits in the same order, and gets the verdict that the interrupted one would have got.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from starcoder_ls import __version__
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.run_identity import digest, settings_text, weight_files
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.learning.finetuning.versions import GATE_FILE, Version
from starcoder_ls.settings import Settings

_FORMAT = "starcoder-ls gate 1, unfinished"


@contextmanager
def kept_answers(
    version: Version, config: Settings, held_out: Iterable[str], answer_type: Any, unit: str
) -> Iterator[PartialRun[Any]]:
    """The answers of an interrupted gate of ``version``, to which those of this one are added.

    ``held_out`` are texts that decide which holes or edits there are; ``unit`` is what they are called. Says on
    standard error what was kept. Raises SettingsError if the file cannot be read.
    """
    kept = PartialRun[Any](version.folder / GATE_FILE, conditions(version, config, held_out), answer_type)
    if kept.answers:
        stderr.print(f"The gate was interrupted and continues; {unit} answered so far: {len(kept.answers)}.")
    elif kept.changed:
        stderr.print(f"The interrupted gate begins again, because of changes in: {', '.join(kept.changed)}.")
    try:
        yield kept
    except BaseException:
        if kept.answers:
            command = f"starcoder-ls train gate {version.training['name']} --version {version.name}"
            stderr.print(
                f"The answers are kept ({unit} answered: {len(kept.answers)}): `{command}` continues the gate."
            )
        raise


def conditions(version: Version, config: Settings, held_out: Iterable[str]) -> dict[str, str]:
    """What the answers depend on."""
    training = version.training
    sides = [training["base"], training.get("start") or "", str(version.folder)]
    return {
        "format": _FORMAT,
        "program": __version__,
        "settings": digest([settings_text(config)]),
        "weights": digest([*sides, *(line for side in sides for line in weight_files(side, GATE_FILE))]),
        "held-out code": digest(held_out),
    }
