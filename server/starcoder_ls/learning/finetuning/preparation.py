"""What a run of ``train adapter`` will do: files, rows, device, memory, time; decided before any weight is loaded.

``edit_preparation`` does the same for ``train edits``.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import precision
from starcoder_ls.learning.finetuning import resources, training_base
from starcoder_ls.learning.finetuning.batches import Batches
from starcoder_ls.learning.finetuning.fim_rows import REPLAY_SHARE, FimRows, RowFormat
from starcoder_ls.learning.finetuning.layer_training import LORA_TARGETS
from starcoder_ls.learning.finetuning.methods import METHODS, Method
from starcoder_ls.learning.finetuning.near_duplicates import find_near_duplicates
from starcoder_ls.learning.finetuning.repository_files import CodeFile, collect_files
from starcoder_ls.learning.finetuning.slices import Slice, split_files
from starcoder_ls.learning.finetuning.training_base import TrainingDevice
from starcoder_ls.settings import Settings
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_ROW_TOKENS, _GPU_ROW_TOKENS = 1024, 2048
_GPU_BATCH_TOKENS = 8192
_CPU_EFFICIENCY, _EFFICIENCY = {torch.bfloat16: 0.14, torch.float32: 0.3}, 0.35
"""Of the measured speed of a matrix product, what a training step reaches: 0.12 to 0.15 on CPUs that multiply bfloat16
for the bundled model (half of a step are no products), 0.3 in float32 on Zen 3, from processor time (both 2026-11-29);
on GPUs a common figure for LoRA."""
_PROBE_WIDTH, _PROBE_S = 1024, 0.2


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The options of all kinds of data. None and 0 mean the default of the method, the base or the device."""

    paths: Sequence[Path]
    method: str = "lora"
    rank: int = 0
    epochs: float = 2.0
    learning_rate: float = 0.0
    device: str = "auto"
    quantization: str = "none"
    since_s: float | None = None
    row_tokens: int = 0
    batch_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Options(TrainingOptions):
    """The options of ``train adapter``."""

    replay: Sequence[Path] = ()
    replay_share: float = REPLAY_SHARE
    """Of the examples, those that come from the general code in ``replay``."""
    has_ngrams: bool = False
    """Train on the loss of the mixture with the n-grams of the document, where the base has strengths for them."""


class TrainingText(Protocol):
    """A file or an edit to learn from; ``text`` is all that is learned of it. ``licence`` is that of the file."""

    @property
    def folder(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def text(self) -> str: ...
    @property
    def licence(self) -> str: ...


class CountedBatches(Batches, Protocol):
    """Batches of a slice; ``tokens`` are those of all its texts, each once."""

    @property
    def tokens(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DeviceFit:
    """Where and in which steps a base is trained on this machine, and what that takes."""

    device: TrainingDevice
    row_tokens: int
    batch_rows: int
    memory_bytes: int
    is_checkpointed: bool
    operations_per_token: float

    @property
    def batch_tokens(self) -> int:
        return self.batch_rows * self.row_tokens


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that fits this machine.

    ``left_out`` counts what is not used by reason. ``replay`` is general code, from which ``replay_share`` of the
    examples come. ``record`` are further facts for training.json.
    """

    method: Method
    rank: int
    learning_rate: float
    checkpoint: Checkpoint
    tokenizer: Tokenizer
    fit: DeviceFit
    slices: Mapping[Slice, Sequence[TrainingText]]
    rows: Mapping[Slice, CountedBatches]
    left_out: Mapping[str, int]
    record: Mapping[str, object] = field(default_factory=dict)
    has_ngrams: bool = False
    replay: Sequence[TrainingText] = ()
    replay_share: float = 0.0

    @property
    def device(self) -> TrainingDevice:
        return self.fit.device

    @property
    def batch_tokens(self) -> int:
        return self.fit.batch_tokens

    @property
    def steps(self) -> int:
        return len(self.rows[Slice.TRAINING])

    @property
    def tokens(self) -> int:
        """All tokens that are read in training."""
        return self.steps * self.batch_tokens

    def data_id(self, fingerprint: str) -> str:
        """Identifies the base, the texts, how they are cut into rows, how often they are read, and the weights."""
        method = next(name for name, method in METHODS.items() if method is self.method)
        weights = f"{fingerprint} {method} {self.rank} {self.device.dtype}"
        reading = f"{self.batch_tokens} {self.steps} {self.replay_share}{' mixture' * self.has_ngrams}"
        digest = hashlib.sha256(f"{weights} {reading}".encode())
        for part, texts in (*self.slices.items(), ("replay", self.replay)):
            for text in texts:
                digest.update(f"{part}\0{text.name}\0{text.text}\0".encode(errors="surrogatepass"))
        return digest.hexdigest()[:16]

    def estimate_s(self) -> float:
        """Seconds of training, from the speed of a matrix product now."""
        is_cpu = self.device.name == "cpu"
        efficiency = _CPU_EFFICIENCY[precision.product_dtype("cpu")] if is_cpu else _EFFICIENCY
        return self.tokens * self.fit.operations_per_token / (efficiency * measure_speed(self.device))


def prepare(options: Options, settings: Settings, on_progress: ProgressCallback) -> Plan:
    """Raises SettingsError, ModelError, and OutOfMemory if the run cannot fit."""
    method = require_method(options.method)
    checkpoint = resolve_checkpoint(settings.model, on_progress)
    tokenizer = Tokenizer.from_folder(checkpoint.folder, checkpoint.vocabulary_size)
    row_format = RowFormat.of(checkpoint, tokenizer)
    fit = fit_to_device(options, method, checkpoint)
    found = collect_files(options.paths, settings.context.ignore, options.since_s)
    slices = split_files(found.files)
    replay = _collect_replay(options, settings, slices, found.left_out)
    strengths = NgramStrengths.from_folder(checkpoint.folder) if options.has_ngrams else None
    rows = {
        part: FimRows(
            [(file.name, file.text) for file in files],
            row_format,
            fit.row_tokens,
            fit.batch_rows,
            options.epochs if part is Slice.TRAINING else 1.0,
            seed=number,
            replay=[(file.name, file.text) for file in replay] if part is Slice.TRAINING else (),
            replay_share=options.replay_share,
            strengths=strengths,
        )
        for number, (part, files) in enumerate(slices.items())
    }
    return Plan(
        method, options.rank or method.default_rank,
        options.learning_rate or method.rate_for(checkpoint.sizes.width), checkpoint, tokenizer, fit, slices, rows,
        found.left_out, has_ngrams=strengths is not None, replay=replay,
        replay_share=options.replay_share if replay else 0.0,
    )  # fmt: skip


def _collect_replay(
    options: Options, settings: Settings, slices: Mapping[Slice, Sequence[CodeFile]], left_out: Counter[str]
) -> list[CodeFile]:
    """The general code, without files that nearly equal one that is measured on; these are counted in ``left_out``.

    Raises SettingsError if nothing is left.
    """
    if not options.replay:
        return []
    measured = [file.text for part in (Slice.HELD_OUT, Slice.VALIDATION) for file in slices[part]]
    files = collect_files(options.replay, settings.context.ignore).files
    duplicates = find_near_duplicates([*measured, *(file.text for file in files)])
    kept = [file for number, file in enumerate(files, len(measured)) if number not in duplicates]
    if not kept:
        raise SettingsError("All files of `--replay` are held out or decide when training stops. Name other code.")
    if len(kept) < len(files):
        left_out["general code that nearly equals a held-out or validation file"] = len(files) - len(kept)
    return kept


def require_method(name: str) -> Method:
    """The method of this name. Raises SettingsError if there is none."""
    if name not in METHODS:
        raise SettingsError(f"--method {name}: there is no such method. Choose from {', '.join(METHODS)}.")
    return METHODS[name]


def fit_to_device(options: TrainingOptions, method: Method, checkpoint: Checkpoint) -> DeviceFit:
    """The device, and the size of the steps on it. Raises SettingsError, and OutOfMemory if the run cannot fit."""
    device = training_base.choose_device(options.device, options.quantization, method.build is None, checkpoint)
    is_gpu = device.name != "cpu"
    row_tokens = options.row_tokens or (_GPU_ROW_TOKENS if is_gpu else _ROW_TOKENS)
    row_tokens = min(row_tokens, checkpoint.context_tokens - 64)
    batch_tokens = max(row_tokens, options.batch_tokens or (_GPU_BATCH_TOKENS if is_gpu else _ROW_TOKENS))
    batch_rows = batch_tokens // row_tokens
    size = _training_size(options, method, checkpoint, device, batch_rows, row_tokens)
    is_checkpointed = resources.choose_checkpointing(size, device.free_bytes, device.name, method.allows_checkpointing)
    return DeviceFit(
        device, row_tokens, batch_rows, size.memory_bytes(is_checkpointed), is_checkpointed,
        size.operations(is_checkpointed),
    )  # fmt: skip


def _training_size(
    options: TrainingOptions,
    method: Method,
    checkpoint: Checkpoint,
    device: TrainingDevice,
    batch_rows: int,
    row_tokens: int,
) -> resources.TrainingSize:
    base_values = checkpoint.weights.values
    rank = options.rank or method.default_rank
    sizes = checkpoint.sizes
    modules = len(LORA_TARGETS[checkpoint.architecture])
    adapter_values = sizes.layers * modules * rank * (sizes.width + sizes.intermediate)  # an upper bound
    bytes_per_value = resources.base_bytes_per_value(device.quantization, device.dtype == torch.float32)
    trained = base_values if method.build is None else adapter_values
    kept_row_tokens = row_tokens if device.name == "cpu" else 0
    return resources.TrainingSize(
        sizes,
        base_values,
        trained,
        batch_rows * row_tokens,
        bytes_per_value,
        kept_row_tokens,
        precision.product_dtype(device.name).itemsize,
    )


def measure_speed(device: TrainingDevice) -> float:
    """Floating point operations per second of a matrix product in the type in which training computes it."""
    dtype = precision.product_dtype(device.name)
    matrix = torch.ones(_PROBE_WIDTH, _PROBE_WIDTH, dtype=dtype, device=device.name)
    (matrix @ matrix).sum().item()
    start_s, count = time.perf_counter(), 0
    while time.perf_counter() - start_s < _PROBE_S:
        (matrix @ matrix)[0, 0].item()
        count += 1
    return count * 2 * _PROBE_WIDTH**3 / (time.perf_counter() - start_s)
