"""What a run of ``train edits`` will do: commits, examples, memory, time; decided before any weight is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starcoder_ls.edit_formats import EditFormat, find_trained_format
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.adapter_card import EDITS
from starcoder_ls.learning.finetuning.commit_changes import MAX_COMMITS
from starcoder_ls.learning.finetuning.commit_spans import CommitSpan, collect_spans, split_spans
from starcoder_ls.learning.finetuning.edit_examples import EditEncoder
from starcoder_ls.learning.finetuning.fim_rows import end_of_text_id
from starcoder_ls.learning.finetuning.instruction_batches import Example, InstructionBatches
from starcoder_ls.learning.finetuning.preparation import Plan, TrainingOptions, fit_to_device, require_method
from starcoder_ls.learning.finetuning.slices import Slice
from starcoder_ls.settings import Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class EditOptions(TrainingOptions):
    """The options of ``train edits``. ``row_tokens`` is the length of an example, ``paths`` are in git repositories."""

    max_commits: int = MAX_COMMITS


def prepare(options: EditOptions, settings: Settings, on_progress: ProgressCallback) -> Plan:
    """Raises SettingsError, ModelError, and OutOfMemory if the run cannot fit."""
    found = collect_spans(options.paths, settings.context.ignore, options.since_s, options.max_commits)
    return plan_edits(options, settings, on_progress, found.spans, found.left_out)


def plan_edits(
    options: EditOptions,
    settings: Settings,
    on_progress: ProgressCallback,
    spans: Sequence[CommitSpan],
    left_out: Mapping[str, int],
    split: Callable[[Sequence[CommitSpan]], dict[Slice, list[CommitSpan]]] = split_spans,
) -> Plan:
    """The plan for ``spans``, the oldest first, which ``split`` divides into slices. Raises as ``prepare`` does."""
    method = require_method(options.method)
    checkpoint = resolve_checkpoint(settings.model, on_progress)
    tokenizer = Tokenizer.from_folder(checkpoint.folder, checkpoint.vocabulary_size)
    fit = fit_to_device(options, method, checkpoint)
    edit_format = find_trained_format(tokenizer.special_tokens)
    encoder = EditEncoder(edit_format, tokenizer, end_of_text_id(checkpoint))
    examples: dict[int, Example] = {}
    kept: list[CommitSpan] = []
    for span in spans:
        example = encoder.encode(span)
        if example.tokens <= fit.row_tokens:
            kept.append(span)
            examples[id(span)] = example
    if not kept:
        raise SettingsError(
            f"None of the {len(spans)} changes fits into {fit.row_tokens} tokens with its answer. Raise `--length`."
        )
    slices = split(kept)
    rows = {
        part: InstructionBatches(
            [examples[id(span)] for span in own],
            fit.batch_tokens,
            fit.row_tokens,
            max(1, round(options.epochs)) if part is Slice.TRAINING else 1,
            seed=number,
        )
        for number, (part, own) in enumerate(slices.items())
    }
    reasons = Counter(left_out)
    if len(kept) < len(spans):
        reasons[f"of more than {fit.row_tokens} tokens with the answer"] = len(spans) - len(kept)
    return Plan(
        method, options.rank or method.default_rank,
        options.learning_rate or method.rate_for(checkpoint.sizes.width), checkpoint, tokenizer, fit, slices, rows,
        reasons, record=_record(options, edit_format, slices),
    )  # fmt: skip


def _record(
    options: EditOptions, edit_format: EditFormat, slices: Mapping[Slice, Sequence[CommitSpan]]
) -> dict[str, object]:
    """What the gate needs to find the held-out edits again, without their texts."""
    held_out = [[str(span.folder), span.commit, span.name] for span in slices[Slice.HELD_OUT]]
    return {
        "objective": EDITS, "edit_format": edit_format, "held_out_edits": held_out,
        "paths": [str(path.resolve()) for path in options.paths], "max_commits": options.max_commits,
    }  # fmt: skip
