"""``starcoder-ls train preferences``: trains an adapter on what became of suggestions, and writes it as a version.

Its data are in the feedback store, with the user's consent only. It starts from the LoRA version of its name that
serves, if there is one, and the result does what both do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_check import loading_status
from starcoder_ls.errors import SettingsError

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.lora_sum import LoraWeights
    from starcoder_ls.learning.finetuning.versions import AdapterVersions
    from starcoder_ls.learning.preference_preparation import Plan
    from starcoder_ls.learning.preference_scores import Scores


def run(
    name: str,
    options: Mapping[str, Any],
    overlay: Mapping[str, Any],
    settings_file: Path | None,
    is_dry_run: bool,
    has_gate: bool,
) -> int:
    """Train and write a version, or with ``is_dry_run`` only say what that takes. The exit code is 0.

    What there is to learn from is printed first, also if the gate has no file to measure in. ``options`` are the
    keyword arguments of ``preference_preparation.Options``. Raises SettingsError, ModelError, OutOfMemory,
    FeedbackStoreUnreadable.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    config = settings.load(dict(overlay), file=settings_file)
    _require_consent(config)
    from starcoder_ls.learning.finetuning.versions import AdapterVersions
    from starcoder_ls.learning.preference_preparation import Options, prepare
    from starcoder_ls.learning.preference_training import require_trl

    require_trl()
    console, versions = Console(highlight=False), AdapterVersions(name)
    with loading_status() as on_progress:
        plan = prepare(Options(**options), config, versions, on_progress)
    _print_plan(console, plan)
    if has_gate:
        _require_gate_files(name, plan)
    if is_dry_run:
        return 0
    folder = _train(console, plan, versions)
    console.print(f"{folder.name} was written to {folder}; the report is {folder / 'report.html'}")
    return 0


def _require_consent(config: settings.Settings) -> None:
    """Raise SettingsError unless the user allows that text is kept."""
    if config.feedback.keep != "text":
        raise SettingsError(
            f'`feedback.keep` is "{config.feedback.keep}", so no text of suggestions may be kept and learned from. Set '
            'it to "text" if you agree to that; docs/privacy.md says what is kept then and how to delete it.'
        )


def _require_gate_files(name: str, plan: Plan) -> None:
    """Raise SettingsError if the gate has no file to measure in."""
    if not plan.held_out_files:
        raise SettingsError(
            "The gate has no file to measure the adapter in: name folders of your code with files that the suggestions "
            f"are not from (`starcoder-ls train preferences PATH --name {name}`), or add `--no-gate`."
        )


def _print_plan(console: Console, plan: Plan) -> None:
    data, config = plan.data, plan.config
    what = "pairs" if data.loss == "dpo" else "judged suggestions"
    console.print(f"{data.loss.upper()}: {len(data.training):,} {what} to train on, {len(data.held_out):,} held out")
    for reason, count in data.left_out.most_common():
        console.print(f"left out: {count:,} suggestions, {reason}", style="dim")
    if plan.start is not None:
        console.print(f"starts from {plan.start.source}")
    console.print(
        f"{plan.base.name} on {plan.device.name}: about {plan.memory_bytes / 1e9:.1f} GB of "
        f"{plan.device.free_bytes / 1e9:.1f} GB free; {data.training_tokens:,} tokens, read "
        f"{config.epochs:g} times in {config.steps(len(data.training)):,} steps"
    )


def _train(console: Console, plan: Plan, versions: AdapterVersions) -> Path:
    """Train, measure on what was held out, and write the version; its folder."""
    from starcoder_ls.learning import preference_scores, preference_training
    from starcoder_ls.learning.finetuning import training_base
    from starcoder_ls.learning.finetuning.layer_training import LORA_TARGETS
    from starcoder_ls.learning.finetuning.lora_sum import LoraWeights, add_to_base, concatenate, read_lora

    with loading_status() as on_progress:
        model = training_base.load_base(plan.checkpoint, plan.device, on_progress)
    start = None if plan.start is None else read_lora(plan.start)
    if start is not None:
        add_to_base(model, start)
    held_out, config = plan.data.held_out, plan.config
    reference = preference_scores.log_probabilities(model, held_out)
    targets, log, started_s = LORA_TARGETS[plan.checkpoint.architecture], list[dict[str, Any]](), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=config.steps(len(plan.data.training)))

        def on_step(step: preference_training.Step) -> None:
            number, loss = step
            log.append({"step": number, "training": {"loss": loss, "middle_loss": loss}, "validation": None})
            bar.update(task, completed=number, description=f"loss {loss:.3f}")

        tensors = preference_training.train_lora(model, targets, plan.data, config, on_step)
    seconds = time.monotonic() - started_s
    policy = preference_scores.log_probabilities(model, held_out)
    scores = [preference_scores.score(held_out, reference, now, config.beta) for now in (reference, policy)]
    trained = LoraWeights(tensors, config.alpha / config.rank)
    weights = trained if start is None else concatenate(start, trained)
    console.print(
        f"held out: loss {scores[0].loss:.3f} → {scores[1].loss:.3f}, agrees with you in "
        f"{scores[0].agreement:.0%} → {scores[1].agreement:.0%}"
    )
    return _write_version(plan, versions, weights, scores, log, seconds)


def _write_version(
    plan: Plan,
    versions: AdapterVersions,
    weights: LoraWeights,
    scores: Sequence[Scores],
    log: Sequence[Mapping[str, Any]],
    seconds: float,
) -> Path:
    from starcoder_ls.learning.finetuning import adapter_card, training_report
    from starcoder_ls.learning.finetuning import versions as version_files
    from starcoder_ls.learning.finetuning.trainable import write_adapter

    now, data, config, start = version_files.utc_now(), plan.data, plan.config, plan.start_version
    losses = [{"loss": score.loss, "middle_loss": score.loss} for score in scores]
    rank = len(weights.down(weights.paths[0]))
    record = {
        **asdict(config), "name": versions.name, "made": now.isoformat(timespec="seconds"), "base": plan.base.name,
        "fingerprint": plan.base.fingerprint, "method": data.loss, "is_checkpoint": False, "rank": rank,
        "device": plan.device.name, "folders": ["the feedback store"], "objective": adapter_card.PREFERENCES,
        "files": {"training": len(data.training_groups), "held out": len({example.group for example in data.held_out})},
        "examples": {"training": len(data.training), "held out": len(data.held_out)},
        "left_out": dict(data.left_out), "licences": {}, "tokens": data.training_tokens,
        "trained_tokens": round(config.epochs * data.training_tokens), "steps": log[-1]["step"],
        "planned_steps": config.steps(len(data.training)), "seconds": round(seconds, 1),
        "best_validation_loss": scores[1].loss, "start": plan.start and str(plan.start.files.folder),
        "held_out_loss": dict(zip(("base", "adapted"), losses, strict=True)),
        "agreement": dict(zip(("base", "adapted"), (score.agreement for score in scores), strict=True)),
        "training_files": start.learned_files if start else [],
        "held_out_files": plan.held_out_files,
    }  # fmt: skip
    saved = {
        "peft_type": "LORA", "r": rank, "lora_alpha": round(rank * weights.scale, 6),
        "target_modules": sorted({path.rpartition(".")[2] for path in weights.paths}),
    }  # fmt: skip
    with versions.new_version(now) as folder:
        write_adapter(folder, saved, weights.tensors, plan.base)
        version_files.write_json(folder / version_files.TRAINING_FILE, record)
        (folder / "README.md").write_text(adapter_card.build_card(versions.name, record), encoding="utf-8")
        report = training_report.render_report(versions.name, record, log)
        (folder / version_files.REPORT_FILE).write_text(report, encoding="utf-8")
    return versions.find().folder
