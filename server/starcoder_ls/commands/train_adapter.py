"""``starcoder-ls train adapter``: trains an adapter on the user's own code and writes it as a new version.

It shows what the run will take before it starts, progress while it runs, and what the gate decides at the end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_check import loading_status
from starcoder_ls.errors import SettingsError

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.preparation import Plan, TrainingOptions, TrainingText
    from starcoder_ls.learning.finetuning.row_loss import Losses
    from starcoder_ls.learning.finetuning.trainable import BaseIdentity
    from starcoder_ls.learning.finetuning.training_run import TrainingRun
    from starcoder_ls.learning.finetuning.versions import AdapterVersions

_EVALUATIONS = 12
_VALIDATION_TOKENS = 8_192
_HELD_OUT_TOKENS = 32_768
_FIRST_STEPS = 2


@dataclass(frozen=True, slots=True)
class Request:
    """``options`` are the keyword arguments of ``preparation.Options``. ``minutes`` limits the time; 0 is no limit."""

    name: str
    options: Mapping[str, Any]
    minutes: float = 0.0
    is_dry_run: bool = False
    is_restarted: bool = False


def run(request: Request, overlay: Mapping[str, Any], settings_file: Path | None) -> int:
    """Train and write a version, or with ``is_dry_run`` only say what that takes. The exit code is 0.

    A run that was interrupted is resumed. Raises SettingsError, ModelError, OutOfMemory.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    config = settings.load(dict(overlay), file=settings_file)
    console = Console(highlight=False)
    from starcoder_ls.learning.finetuning.preparation import Options, prepare
    from starcoder_ls.learning.finetuning.versions import AdapterVersions

    AdapterVersions(request.name)  # a name that is not possible is refused before files are read
    options = Options(**request.options)
    with loading_status() as on_progress:
        plan = prepare(options, config, on_progress)
    return run_plan(console, request, options, plan, config.model.name)


def run_plan(console: Console, request: Request, options: TrainingOptions, plan: Plan, model: str) -> int:
    """Say what ``plan`` takes, and unless it is a dry run train and write a version. The exit code is 0.

    ``model`` is the name of the base in the settings. Raises SettingsError, ModelError, OutOfMemory.
    """
    from starcoder_ls.learning.finetuning import training_base
    from starcoder_ls.learning.finetuning.versions import AdapterVersions

    _print_plan(console, plan, model)
    if request.is_dry_run:
        return 0
    if request.is_restarted:
        shutil.rmtree(AdapterVersions(request.name).run_folder, ignore_errors=True)
    base = training_base.identify(plan.checkpoint, model)
    folder = train_version(console, request, options, plan, base)
    console.print(f"{folder.name} was written to {folder}; the report is {folder / 'report.html'}")
    return 0


def train_version(console: Console, request: Request, options: TrainingOptions, plan: Plan, base: BaseIdentity) -> Path:
    """Train as ``plan`` says and write a version; its folder. Raises as ``run``."""
    from starcoder_ls.learning.finetuning.versions import AdapterVersions

    versions = AdapterVersions(request.name)
    training, before = create_run(request, options, plan, base, versions)
    _train(console, training)
    return _write_version(request.name, options, plan, base, versions, training, before)


def _print_plan(console: Console, plan: Plan, model: str) -> None:
    from starcoder_ls.learning.finetuning.adapter_card import count_licences, unit_of
    from starcoder_ls.learning.finetuning.slices import Slice

    unit = unit_of(plan.record)
    for part, texts in plan.slices.items():
        console.print(f"{part}: {len(texts):,} {unit}, {plan.rows[part].tokens:,} tokens")
    for reason, count in plan.left_out.items():
        console.print(f"left out: {count:,} {unit}, {reason}", style="dim")
    if plan.replay:
        console.print(f"general code: {len(plan.replay):,} files, {plan.replay_share:.0%} of the examples")
    licences = count_licences(plan.slices[Slice.TRAINING])
    console.print("licences in headers: " + ", ".join(f"{name} ({count})" for name, count in licences.items()))
    checkpointed = ", with gradient checkpointing" if plan.fit.is_checkpointed else ""
    console.print(
        f"{model} on {plan.device.name}: about {plan.fit.memory_bytes / 1e9:.1f} GB of "
        f"{plan.device.free_bytes / 1e9:.1f} GB free{checkpointed}; {plan.tokens:,} tokens in {plan.steps:,} steps, "
        f"about {plan.estimate_s() / 60:.1f} minutes"
    )


def create_run(
    request: Request, options: TrainingOptions, plan: Plan, base: BaseIdentity, versions: AdapterVersions
) -> tuple[TrainingRun, Losses]:
    """The run, resumed if it was interrupted, and the held-out losses of the base."""
    from starcoder_ls.learning.finetuning import training_base
    from starcoder_ls.learning.finetuning.methods import build_trainable
    from starcoder_ls.learning.finetuning.row_loss import Losses, measure_losses
    from starcoder_ls.learning.finetuning.slices import Slice
    from starcoder_ls.learning.finetuning.trainable import FrozenBase
    from starcoder_ls.learning.finetuning.training_run import RunConfig, TrainingRun
    from starcoder_ls.learning.finetuning.versions import write_json

    with loading_status() as on_progress:
        model = training_base.load_base(plan.checkpoint, plan.device, on_progress)
    data_id = plan.data_id(base.fingerprint)
    decided = _decided(versions.run_folder, data_id)
    held_out = plan.rows[Slice.HELD_OUT]
    before = Losses(**decided["before"]) if decided else measure_losses(
        FrozenBase(model), held_out, _batches(_HELD_OUT_TOKENS, plan)
    )  # fmt: skip
    trainable = build_trainable(
        options.method, model, plan.checkpoint, plan.rank, training_base.file_type(plan.checkpoint)
    )
    if plan.fit.is_checkpointed:
        training_base.use_gradient_checkpointing(model)
    steps = decided.get("steps") or _steps_within(request.minutes, plan, trainable)
    run_config = RunConfig(
        steps=steps,
        learning_rate=plan.learning_rate,
        matrix_learning_rate=plan.method.matrix_learning_rate,
        evaluate_every=max(5, -(-steps // _EVALUATIONS)),
        validation_steps=_batches(_VALIDATION_TOKENS, plan),
        data=data_id,
    )
    training = TrainingRun(
        versions.run_folder, run_config, trainable, plan.rows[Slice.TRAINING], plan.rows[Slice.VALIDATION]
    )
    write_json(versions.run_folder / "decided.json", {"data": data_id, "steps": steps, "before": asdict(before)})
    return training, before


def _decided(folder: Path, data_id: str) -> dict[str, Any]:
    """What an interrupted run on the same data has measured and decided; empty if there is none.

    Raises SettingsError if the run was on other data.
    """
    from starcoder_ls.learning.finetuning.versions import read_json

    decided = read_json(folder / "decided.json")
    if decided and decided["data"] != data_id:
        raise SettingsError(
            f"{folder} has an interrupted run on other data, base or options. Add `--restart` to start again, or "
            "repeat the command that was interrupted."
        )
    return decided


def _steps_within(minutes: float, plan: Plan, trainable: Any) -> int:
    """The planned steps, or as many as fit the time at the speed of the first ones, which are not kept."""
    if not minutes:
        return plan.steps
    import time

    from starcoder_ls.learning.finetuning.row_loss import training_loss
    from starcoder_ls.learning.finetuning.slices import Slice

    started_s = time.perf_counter()
    for step in range(_FIRST_STEPS):
        started_s = time.perf_counter()  # the first step is slower than the others
        training_loss(trainable, plan.rows[Slice.TRAINING].batch(step))[0].backward()  # type: ignore[no-untyped-call]
    for weight in trainable.named_weights().values():
        weight.grad = None
    step_s = time.perf_counter() - started_s
    return max(1, min(plan.steps, int(60 * minutes / (1.15 * step_s))))  # measuring the losses takes its part


def _batches(tokens: int, plan: Plan) -> int:
    return max(1, tokens // plan.batch_tokens)


def _train(console: Console, training: TrainingRun) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    if training.step:
        console.print(f"resumed at step {training.step:,} of {training.config.steps:,}")
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=training.config.steps, completed=training.step)
        validation = ""
        for report in training.train():
            if report.validation is not None:
                validation = f"  validation {report.validation.loss:.3f}, middles {report.validation.middle_loss:.3f}"
            bar.update(
                task,
                completed=report.step,
                description=f"loss {report.training.loss:.3f}, middles {report.training.middle_loss:.3f}{validation}",
            )


def _write_version(
    name: str,
    options: TrainingOptions,
    plan: Plan,
    base: BaseIdentity,
    versions: AdapterVersions,
    training: TrainingRun,
    before: Losses,
) -> Path:
    """Measure the result on the held-out slice and write it with its card and report; its folder."""
    from starcoder_ls.learning.finetuning import adapter_card, training_report, training_run
    from starcoder_ls.learning.finetuning import versions as version_files
    from starcoder_ls.learning.finetuning.fim_rows import FimRows
    from starcoder_ls.learning.finetuning.ngram_refit import refit_strengths, replace_strengths
    from starcoder_ls.learning.finetuning.row_loss import measure_losses
    from starcoder_ls.learning.finetuning.slices import Slice

    after = measure_losses(training.trainable, plan.rows[Slice.HELD_OUT], _batches(_HELD_OUT_TOKENS, plan))
    now = version_files.utc_now()
    record = {
        "name": name, "made": now.isoformat(timespec="seconds"), "base": base.name, "fingerprint": base.fingerprint,
        "method": options.method, "is_checkpoint": plan.method.build is None, "rank": plan.rank,
        "device": plan.device.name,
        "folders": sorted({text.folder.name for texts in plan.slices.values() for text in texts}),
        "files": {str(part): len(texts) for part, texts in plan.slices.items()},
        "left_out": dict(plan.left_out),
        "licences": adapter_card.count_licences(plan.slices[Slice.TRAINING]),
        "tokens": plan.rows[Slice.TRAINING].tokens, "trained_tokens": training.tokens,
        "steps": training.step, "planned_steps": training.config.steps, "seconds": round(training.seconds, 1),
        "learning_rate": plan.learning_rate, "has_ngrams": plan.has_ngrams, "best_validation_loss": training.best_loss,
        "held_out_loss": {"base": asdict(before), "adapted": asdict(after)},
        "training_files": _paths(plan.slices[Slice.TRAINING]),
        "held_out_files": _paths(plan.slices[Slice.HELD_OUT]), "replay_files": _paths(plan.replay),
        "replay_share": plan.replay_share, **plan.record,
    }  # fmt: skip
    with versions.new_version(now) as folder:
        training.trainable.save(folder, base)
        validation = plan.rows[Slice.VALIDATION]
        if plan.has_ngrams and plan.method.build is None and isinstance(validation, FimRows):
            replace_strengths(folder, refit_strengths(training.trainable, validation, plan.tokenizer))
        version_files.write_json(folder / version_files.TRAINING_FILE, record)
        (folder / "README.md").write_text(adapter_card.build_card(name, record), encoding="utf-8")
        report = training_report.render_report(name, record, training_run.read_log(training.folder))
        (folder / version_files.REPORT_FILE).write_text(report, encoding="utf-8")
    shutil.rmtree(versions.run_folder, ignore_errors=True)
    return versions.find().folder


def _paths(texts: Sequence[TrainingText]) -> list[str]:
    """Each file once, in order: edits of the same file may be many."""
    return list(dict.fromkeys(str(text.path) for text in texts))
