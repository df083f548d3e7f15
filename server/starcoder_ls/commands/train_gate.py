"""``starcoder-ls train gate``: measures a trained adapter on what was held out, through the server, and decides on it.

The verdict is printed and stored beside the version. Adapters for completion fill holes; those for edits make edits.
Answers are kept as they come, and a gate that was interrupted continues from them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starcoder_ls import settings
from starcoder_ls.commands.support import gate_edits, partial_gate
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.gate_holes import GateHoles
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.context.source_files import read_source
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import edit_gate, partial_run
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.edit_gate import EditPair
from starcoder_ls.evaluation.gate import Code, HeldOutLoss, Measure, Verdict, describe, run_gate

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.versions import Version


def run(
    name: str,
    version_name: str | None,
    foreign: Path | None,
    settings_file: Path | None,
    is_restarted: bool = False,
) -> int:
    """Print the verdict on a version (None: the newest) and store it. The exit code is 0 if it passed, else 1.

    With ``is_restarted``, a gate that was interrupted is not continued. Raises SettingsError, ModelError (if the
    adapter cannot be loaded), EngineError.
    """
    from starcoder_ls.learning.finetuning.adapter_card import EDITS
    from starcoder_ls.learning.finetuning.versions import GATE_FILE, AdapterVersions, write_json

    version = AdapterVersions(name).find(version_name)
    gate_file = version.folder / GATE_FILE
    if is_restarted:
        partial_run.remove(gate_file)
    if version.training.get("objective") == EDITS:
        verdict = judge_edits(name, version, settings_file)
    else:
        verdict = judge_holes(name, version, foreign, settings_file)
    write_json(gate_file, verdict.to_json())
    partial_run.remove(gate_file)
    print(verdict.sentence)
    for guard in verdict.guards:
        print(f"{'✓' if guard.is_passed else '✗'} {guard.name}: {guard.sentence}")
    return 0 if verdict.is_passed else 1


def judge_holes(name: str, version: Version, foreign: Path | None, settings_file: Path | None) -> Verdict:
    """The verdict on ``version``, which was trained on code. Raises SettingsError, ModelError, EngineError."""
    config = settings.load(file=settings_file)
    with tempfile.TemporaryDirectory() as folder:
        holes = GateHoles(version, config, Path(folder), foreign)
        paths = holes.paths(Code.HELD_OUT)
        texts = (f"{path}\n{read_source(path)}" for path in paths)
        with partial_gate.kept_answers(version, config, texts, Pair, "holes") as kept:
            return judge(name, version, len(paths), replace(holes, kept=kept))


def judge(name: str, version: Version, held_out_files: int, measure: Measure) -> Verdict:
    """The verdict on ``version``. Raises what the measurement raises."""
    from starcoder_ls.learning.finetuning.adapter_card import PREFERENCES

    loss = _held_out_loss(version)
    if version.training.get("objective") == PREFERENCES:
        loss = replace(loss, of="held-out preferences")
    return run_gate(
        name, loss, held_out_files, measure, lambda: _read_texts(version), lambda result: stderr.print(describe(result))
    )


def judge_edits(name: str, version: Version, settings_file: Path | None) -> Verdict:
    """The verdict on ``version``, which was trained on edits. Raises SettingsError, ModelError, EngineError."""
    config = settings.load(file=settings_file)
    tasks = gate_edits.held_out_tasks(version, config.context.ignore)
    loss = replace(_held_out_loss(version), of="held-out edits")
    with (
        partial_gate.kept_answers(version, config, [task.id for task in tasks], EditPair, "edits") as kept,
        gate_edits.open_sides(version, settings_file) as sides,
    ):
        return edit_gate.run_edit_gate(
            name,
            loss,
            len({task.group for task in tasks}),
            gate_edits.GateEdits(tasks, sides, config, kept),
            lambda: _read_texts(version),
            lambda result: stderr.print(describe(result, edit_gate.OF, "edits")),
        )


def _held_out_loss(version: Version) -> HeldOutLoss:
    losses = version.training["held_out_loss"]
    return HeldOutLoss(losses["base"]["middle_loss"], losses["adapted"]["middle_loss"])


def _read_texts(version: Version) -> Iterator[str]:
    """The files that were trained on, as they are now."""
    for name in version.learned_files:
        if (text := read_source(Path(name))) is not None:
            yield mask_secrets(text)


def require_passed(version: Version, gate: Mapping[str, Any]) -> None:
    """Raise SettingsError unless ``gate``, the stored verdict on ``version``, says that it passed."""
    if not gate:
        raise SettingsError(
            f"{version.name} was not measured. Run `starcoder-ls train gate {version.training.get('name', 'NAME')}` "
            "first, or add `--force`."
        )
    if not gate["is_passed"]:
        raise SettingsError(f"{gate['sentence']} Train with other options, or add `--force`.")
